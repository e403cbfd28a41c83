import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compression import registry
from compression.errors import CompressionError
from compression.factorization.svd import SVD
from compression.registry import Registry
from compression.steps import STEPS, step_settings


class Loud:
    def __init__(self, volume: int = 11) -> None:
        self.volume = volume

    def play(self) -> int:
        return self.volume


class Mute:
    pass


PLAYERS = Registry(
    kind="player",
    group="model_diet.players",
    paths={"loud": f"{__name__}:Loud", "gone": "no_such_module:Gone"},
    methods=("play",),
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Installs a package that offers players by entry points."""

    def install(name: str, **points: str) -> None:
        (tmp_path / f"{name}.py").write_text("class Quiet:\n    def play(self): return 1\n")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[model_diet.players]", *lines]) + "\n")
        registry._entry_points.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    registry._entry_points.cache_clear()


def test_a_name_a_node_and_an_object_are_parts() -> None:
    assert PLAYERS.part("loud", "player").volume == 11
    assert PLAYERS.part({"_target_": f"{__name__}.Loud", "volume": 3}, "player").volume == 3
    own = Loud()
    assert PLAYERS.part(own, "player") is own


def test_what_a_package_offers_is_imported_only_where_it_is_named(package: Any) -> None:
    package("offered_players", quiet="offered_players:Quiet")
    assert PLAYERS.validate("quiet") == "quiet"
    assert "offered_players" not in sys.modules
    assert PLAYERS.part("quiet", "player").play() == 1
    assert "offered_players" in sys.modules


def test_two_packages_may_not_offer_one_name(package: Any) -> None:
    package("first_players", quiet="first_players:Quiet", loud="first_players:Quiet")
    package("second_players", quiet="second_players:Quiet")
    with pytest.raises(CompressionError, match="quiet is offered by .*_players and .*_players; "):
        PLAYERS.part("quiet", "player")
    with pytest.raises(CompressionError, match="loud is offered by model-diet and first_players"):
        PLAYERS.part("loud", "player")


def test_an_offer_that_cannot_be_imported_is_said_with_its_package(package: Any) -> None:
    package("broken_players", quiet="no_such_players:Quiet")
    with pytest.raises(CompressionError, match="that broken_players offers cannot be imported: No"):
        PLAYERS.part("quiet", "a.player")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "laud",
            r"a.player=laud does not exist \(did you mean loud\?\); there are loud, gone, or ",
        ),
        (3, "a.player: builtins.int is no player: it has no play"),
        (locals, "a.player: builtins.locals is no player: it has no play"),
        (Loud, "Loud is no player: it is a class and not an object of one"),
        ({"_target_": "builtins.dict"}, "a.player: builtins.dict is no player: it has no play"),
        ({"volume": 3}, r"a.player={'volume': 3} has no _target_, which names your class"),
        ({"_target_": "no_such.Thing"}, "a.player: no_such.Thing cannot be built: No module"),
        ({"_target_": "builtins.dict", "x": 1, "y": {}}, "builtins.dict is no player"),
    ],
)
def test_what_is_no_part_is_refused_by_name(value: Any, sentence: str) -> None:
    with pytest.raises(CompressionError, match=sentence):
        PLAYERS.part(value, "a.player")


def test_a_foreign_step_declares_itself() -> None:
    assert STEPS.name_of("compression.pruning.prune.Prune") == "prune"
    assert STEPS.name_of("compression.pruning.prune.Other") is None
    from compression.step import Step

    assert step_settings("compression.step.Step") is Step
    with pytest.raises(CompressionError, match=r"no_such.Step cannot be built: No module"):
        step_settings("no_such.Step")
    with pytest.raises(CompressionError, match=r"builtins.dict is no compression step; derive"):
        step_settings("builtins.dict")
    with pytest.raises(CompressionError, match=r"Duck is no compression step; derive your class"):
        step_settings(f"{__name__}.Duck")


class Duck:
    """Has the methods, but none of what a step says of itself."""

    plan = restructure = apply = None


class Extra(SVD):
    """Takes one setting more than it inherits."""

    def __init__(self, *, extra: int = 1, **settings: Any) -> None:
        super().__init__(**settings)
        self.extra = extra


class Same(SVD):
    """Inherits what it takes."""


def test_a_constructor_of_ones_own_checks_what_it_takes() -> None:
    Extra.check({"extra": 2, "ratio": 0.5}, "a")
    assert (Extra(extra=2, ratio=0.25).extra, Extra(ratio=0.25).ratio) == (2, 0.25)
    with pytest.raises(CompressionError, match=r"svd.ratio=2 is not allowed; it must be a ratio"):
        Extra(extra=2, ratio=2)
    with pytest.raises(CompressionError, match=r"no key a.extra; there are ranks, ratio, energy"):
        Same.check({"extra": 2}, "a")
