"""A compression step and a rule for ranks in files of the user's own, named on the command line."""

import json

import pytest

from lightning_modules.config.check_compression import check_compression
from lightning_modules.errors import USER_ERRORS
from lightning_modules.networks import load_network
from tests.conftest import run_command

OWN = '''
from typing import ClassVar, TypedDict

from compression import CompressionError, Step
from compression.factorization import Rule
from compression.schema import Ratio, declared
from torch import nn


class NarrowPlan(TypedDict):
    layers: list[str]


@declared()
class Unbias(Step[NarrowPlan]):
    """Takes the biases off the last so many convolutions and linear layers."""

    name: ClassVar[str] = "unbias"
    searched: ClassVar[str | None] = "part"

    part: Ratio = 0.5

    def __post_init__(self):
        if self.part == 0.123:
            raise CompressionError("{place}.part=0.123 is an unlucky number.")

    def plan(self, network, context, round):
        found = [n for n, m in network.named_modules() if getattr(m, "bias", None) is not None]
        found = [n for n in found if isinstance(network.get_submodule(n), (nn.Conv2d, nn.Linear))]
        return {"layers": found[-max(1, round_up(self.part * len(found))):]}

    @staticmethod
    def restructure(network, plan):
        for name in plan["layers"]:
            network.get_submodule(name).bias = None
        return network

    @staticmethod
    def describe(plan):
        return [f"took {len(plan['layers'])} biases"]


class Final(Unbias):
    name = "final"
    last, fine_tuned, searched = True, False, None


class Quarter(Rule):
    def rank(self, candidate, number, rounds):
        return [max(1, full // 4) for full in candidate.max_rank]


def round_up(value):
    return int(value + 0.999)
'''
SMALL = [
    "model=shufflenet_g3", "model.units=[1,2,1]", "data=synthetic", "data.image_size=32",
    "data.source.scenes=40", "data.batch_size=16", "trainer.max_epochs=1", "logger=none",
    "pictures=false", "latency.backend=null",
]  # fmt: skip
MINE = "+compression.mine._target_=own_steps.Unbias"
FINAL = "+compression.mine._target_=own_steps.Final"


@pytest.fixture
def own_steps(homes, monkeypatch):
    """The file, for the commands and not for this process."""
    (homes / "site").mkdir()
    (homes / "site" / "own_steps.py").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(homes / "site"))


@pytest.fixture
def own_run(homes, own_steps):
    """A run with the step, made by its command."""
    words = [MINE, "+compression.mine.part=0.25", "+compression.mine.fine_tuning.epochs=0"]
    done = run_command("run.py", *SMALL, *words, f"hydra.run.dir={homes}/run")
    assert "took 1 biases" in done.stdout
    return homes / "run"


@pytest.mark.slow
def test_a_step_of_ones_own_from_the_command_line_to_the_saved_run(own_run, homes, monkeypatch):
    (entry,) = json.loads((own_run / "model" / "recipe.json").read_text())["entries"]
    assert entry["step"] == "own_steps.Unbias" and len(entry["plan"]["layers"]) == 1
    with pytest.raises(USER_ERRORS, match="own_steps.Unbias' is refused"):
        load_network(own_run)
    monkeypatch.syspath_prepend(str(homes / "site"))
    network = load_network(own_run, trust=["own_steps"])
    assert network.get_submodule(entry["plan"]["layers"][0]).bias is None
    # A script does not run what only the saved configuration names.
    judged = run_command("scripts/evaluate.py", str(own_run), check=False)
    assert judged.returncode == 1 and "Traceback" not in judged.stderr
    assert "own_steps.Unbias' is refused" in judged.stderr.splitlines()[-1]
    assert "'trust=[own_steps]'" in judged.stderr


@pytest.mark.slow
def test_a_saved_step_of_ones_own_runs_where_the_command_names_it(own_run, homes):
    run_command("scripts/evaluate.py", str(own_run), "trust=[own_steps]")
    again = ["run.py", f"from_run={own_run}", "logger=none", "pictures=false",
             "latency.backend=null"]  # fmt: skip
    svd = ["+compression=svd", "compression.svd.fine_tuning.epochs=0"]
    refused = run_command(*again, *svd, check=False)
    assert refused.returncode == 1
    assert "own_steps.Unbias' is refused" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    run_command(*again, *svd, "trust=[own_steps]", f"hydra.run.dir={homes}/trusted")
    more = [MINE, "+compression.mine.fine_tuning.epochs=0", f"hydra.run.dir={homes}/again"]
    run_command(*again, *more)
    entries = json.loads((homes / "again" / "model" / "recipe.json").read_text())["entries"]
    assert [entry["step"] for entry in entries] == ["own_steps.Unbias"] * 2


@pytest.mark.slow
def test_a_rule_of_ones_own_ranks_the_layers_of_a_run(homes, own_steps):
    run = homes / "run"
    words = ["+compression=svd", "compression.svd.ranks={_target_: own_steps.Quarter}",
             "compression.svd.fine_tuning.epochs=0", f"hydra.run.dir={run}"]  # fmt: skip
    run_command("run.py", *SMALL, *words)
    (entry,) = json.loads((run / "model" / "recipe.json").read_text())["entries"]
    layers = entry["plan"]["layers"]
    assert layers and {layer["why"] for layer in layers.values()} == {"Quarter"}
    assert all(layer["rank"] == [layer["channels"][0] // 4] for layer in layers.values())
    load_network(run)  # what it decided is in the plan; nobody's code is needed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([MINE, "+compression.mine.part=0.123"],
         "compression.mine.part=0.123 is an unlucky number."),
        ([MINE, "+compression.mine.parts=0.2"],
         "There is no key compression.mine.parts (did you mean part?); there are part."),
        ([FINAL, "+compression.then._target_=own_steps.Unbias"],
         "compression.mine must be the last step; name it last in '+compression=[...]'."),
        ([FINAL],
         "compression.mine.fine_tuning.epochs=null: what final makes cannot be trained; give 0, "
         "and fine-tune in the step before (for an int8 network there is quantize_aware)."),
        (["+compression.mine._target_=own_steps.Quarter"],
         "compression.mine._target_: own_steps.Quarter is no compression step; derive your class "
         "from compression.Step."),
        (["+compression.mine._target_=own_steps.Gone"],
         "compression.mine._target_: own_steps.Gone cannot be built: module 'own_steps' has no "
         "attribute 'Gone'."),
    ],
)  # fmt: skip
def test_a_step_of_ones_own_says_what_it_takes(
    homes, own_steps, compose_config, monkeypatch, words, sentence
):
    monkeypatch.syspath_prepend(str(homes / "site"))
    with pytest.raises(USER_ERRORS) as refusal:
        check_compression(compose_config(*words))
    assert str(refusal.value) == sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([MINE, "+compression.mine.part=2"],
         "compression.mine.part=2 is not allowed; it must be a ratio in (0, 1]."),
        (["+compression=svd", "compression.svd.ranks={_target_: own_steps.Quarter}",
          "compression.svd.target.macs=0.8"],
         "svd.target is met by turning the number of a rule (energy, ratio, sensitivity, error), "
         "but svd.ranks chooses the ranks in another way; leave one of the two out."),
        (["-m", "hydra/sweeper=optuna", "sweep=compression", FINAL,
          "+compression.mine.fine_tuning.epochs=0"],
         "compression.mine: final has no setting that sweep=compression could vary; leave it out, "
         "and do it to the best run when the search is done, with from_run=RUN."),
    ],
)  # fmt: skip
def test_mistakes_are_sentences_and_leave_no_run(homes, own_steps, words, sentence):
    done = run_command("run.py", *words, *SMALL, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {sentence}"
    assert "Traceback" not in done.stderr
    assert not list(homes.glob("outputs/**/*.*"))
