import copy
import json
import sys

import pytest
from torch import nn

from compression import Prune, PruneLayers, Step, Tucker, compress, registry
from compression.errors import CompressionError
from compression.recipe import FORMER_PATHS, Entry, Recipe, step_name
from compression.steps import STEPS


class Silence(Step):
    """Turns a layer off."""

    name = "silence"
    version = 3

    def plan(self, network, context, round):
        return {"layer": "2"}

    @staticmethod
    def restructure(network, plan):
        network.set_submodule(plan["layer"], nn.Identity())
        return network


class MyTucker(Tucker):
    """One's own class, which keeps the name of the step that it derives from."""


class Claims(Silence):
    """One's own class under a name of this package's."""

    name = "prune"


FOREIGN = f"{__name__}.Silence"


def test_every_step_is_stored_by_its_name_and_version(network, sample):
    _, recipe = compress(network, [Tucker(ratio=0.5), Silence()], sample=sample)
    stored = json.loads(recipe.to_json())
    assert stored["schema"] == 2
    assert [(entry["step"], entry["version"]) for entry in stored["entries"]] == [
        ("tucker", 1),
        (FOREIGN, 3),
    ]
    assert Recipe.from_json(recipe.to_json()) == recipe
    for name in STEPS.paths:
        assert step_name(Entry(name, 1, {}).step_class()) == name


def test_classes_of_ones_own_are_stored_by_path():
    for kind in (Silence, MyTucker, Claims):
        assert step_name(kind) == f"{__name__}.{kind.__qualname__}"


def test_a_recipe_of_schema_1_is_read_as_names(network, sample):
    smaller, recipe = compress(network, [Tucker(ratio=0.5)], sample=sample)
    (entry,) = json.loads(recipe.to_json())["entries"]
    entry["step"] = "compression.factorization.tucker.Tucker"
    earlier = Recipe.from_json(json.dumps({"schema": 1, "entries": [entry]}))
    assert earlier == recipe and json.loads(earlier.to_json())["schema"] == 2
    rebuilt = earlier.replay(copy.deepcopy(network).to("meta"))
    assert rebuilt.state_dict().keys() == smaller.state_dict().keys()
    assert Entry(**entry) == recipe.entries[0]  # as the checkpoint of an unfinished run has it


def test_schema_1_knew_every_step_by_one_path():
    assert sorted([*FORMER_PATHS.values(), "hybrid", "merge"]) == sorted(STEPS.paths)
    for path, name in FORMER_PATHS.items():
        assert Entry(path, 1, {}).step == name


def test_what_is_shown_of_a_step_is_its_name(network, sample):
    _, recipe = compress(network, [Tucker(ratio=0.5)], sample=sample)
    assert all(line.startswith("tucker: ") for line in recipe.summary())
    assert {step for step, _, _ in recipe.layers()} == {"tucker"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Entry("os.system", 1, {}), "refused"),
        (Entry("compression.errors.CompressionError", 1, {}), "not a compression step"),
        (Entry("compression.nothing.Here", 1, {}), "does not exist"),
        (Entry("tuker", 1, {}), "the step 'tuker', which this version does not have; it has prune"),
        (Entry("json", 1, {}), "the step 'json', which this version does not have"),
        (Entry(["tucker"], 1, {}), "refused"),
        (Entry("tucker", 2, {}), "version 2 of tucker; this installation has version 1"),
        (Entry("compression.factorization.tucker.Tucker", 2, {}), "version 2 of tucker"),
        (Entry("tucker", 1, {}), r"Step 0 of the recipe \(tucker\) was made for another"),
    ],
    ids=str,
)
def test_entries_that_are_refused(network, entry, says):
    with pytest.raises(CompressionError, match=says):
        Recipe([entry]).replay(network)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 3}', '{"schema": 1, "entries": [{}]}', '{"schema": 2}']
)
def test_texts_that_are_no_recipe(text):
    with pytest.raises(CompressionError, match="recipe"):
        Recipe.from_json(text)


def test_another_schema_is_named():
    with pytest.raises(CompressionError, match="unknown schema 3; this version reads 1 and 2"):
        Recipe.from_json('{"schema": 3, "entries": []}')


def test_a_foreign_step_needs_trust(network):
    entry = Entry.of(Silence(), {"layer": "2"})
    recipe = Recipe([entry])
    assert recipe.summary() == [entry.step] == [FOREIGN]
    with pytest.raises(CompressionError, match="refused"):
        recipe.replay(network)
    recipe.replay(network, trust=[__name__.partition(".")[0]])
    assert isinstance(network[2], nn.Identity)


def test_an_entry_point_is_not_loaded_because_a_recipe_names_it(network, monkeypatch, tmp_path):
    (tmp_path / "their_steps.py").write_text("from compression import PruneLayers as Theirs\n")
    info = tmp_path / "their_steps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their_steps\nVersion: 1.0\n")
    points = "[model_diet.steps]\ntheirs = their_steps:Theirs\nprune_layers = their_steps:Theirs\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    try:
        with pytest.raises(CompressionError, match="'theirs', which this version does not have"):
            Recipe([Entry("theirs", 1, {})]).replay(network)
        Recipe([Entry("prune_layers", 1, {"removed": []})]).replay(network)  # not theirs
        assert "their_steps" not in sys.modules
        STEPS.load("theirs", "step")  # where the command names it, it is
        assert "their_steps" in sys.modules
    finally:
        sys.modules.pop("their_steps", None)
        registry._entry_points.cache_clear()


def test_a_step_whose_module_is_gone_is_told(network, monkeypatch):
    monkeypatch.setitem(STEPS.paths, "tucker", "compression.factorization.nowhere:Tucker")
    with pytest.raises(CompressionError, match="'tucker' cannot be imported here"):
        Recipe([Entry("tucker", 1, {})]).replay(network)


def test_steps_are_the_classes_that_the_package_names():
    assert Entry("prune", 1, {}).step_class() is Prune
    assert Entry("prune_layers", 1, {}).step_class() is PruneLayers
