"""What is declared of settings: what passes, and that each refusal names its place."""

import copy
import math
import pickle
from typing import Annotated, ClassVar, Literal

import pytest

from datamodules import schema
from datamodules.errors import DataError
from datamodules.schema import Flag, Grid, Interval, Probability, Size, Within, checked, declared


@declared
class Settings:
    """One field of each kind."""

    keys: ClassVar[dict[str, str]] = {"count": "a.count"}

    p: Probability
    factor: Annotated[float, Within(0, 10)] = 1
    count: Annotated[int, Within(0)] = 3
    level: Annotated[int, Within(0, 2**64 - 1)] = 3
    range: Annotated[Interval, Within(-1, 1)] = (0, 1)
    tiles: Grid = (2, 2)
    size: Annotated[Size, Within(64, words="[height, width] from 64 on")] = (64, 64)
    on: Flag = False
    word: Literal["x", "y"] = "x"


class Mine(Settings):
    """Somebody's own, with a constructor."""

    def __init__(self, *, extra, p):
        self.extra = extra
        super().__init__(p=p)


def test_sizes():
    as_size = schema.as_size
    assert as_size(64) == (64, 64) and as_size([48, 64]) == (48, 64)
    for wrong in (0, -3, [1, 2, 3], "64", [64.0, 64], [0, 5], None, True, [True, 5]):
        with pytest.raises(DataError, match="is not a size"):
            as_size(wrong)


def test_what_passes_becomes_an_attribute():
    made = Settings(p=1, factor=2, level=2**64 - 1, range=[-0.5, 0], tiles=[1, 64], on=True)
    assert (made.p, made.factor, made.level, made.range) == (1.0, 2.0, 2**64 - 1, (-0.5, 0.0))
    assert (made.tiles, made.on, made.word, made.count) == ((1, 64), True, "x", 3)
    assert type(made.p) is float
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert vars(twin) == vars(made)


def test_a_subclass_may_have_a_constructor():
    made = Mine(extra=[1], p=0.5)
    assert (made.extra, made.p, made.count) == ([1], 0.5, 3)
    with pytest.raises(DataError, match=r"^Mine\.p=2 is not allowed; give a probability in 0\.\.1"):
        Mine(extra=[1], p=2)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("p", True, "p=True is not allowed; give a probability in 0..1."),
        ("factor", math.nan, "factor=nan is not allowed; give a number in 0..10."),
        ("factor", math.inf, "factor=inf is not allowed; give a number in 0..10."),
        ("factor", "1", "factor=1 is not allowed; give a number in 0..10."),
        ("factor", 10.01, "factor=10.01 is not allowed; give a number in 0..10."),
        ("level", -1, f"level=-1 is not allowed; give a whole number in 0..{2**64 - 1}."),
        ("range", [1, 0], "range=[1, 0] is not allowed; give [smallest, largest] within -1..1."),
        ("range", [0, True], "range=[0, True] is not allowed; give [smallest, largest] within"),
        ("range", 0.5, "range=0.5 is not allowed; give [smallest, largest] within -1..1."),
        ("range", "01", "range=01 is not allowed; give [smallest, largest] within -1..1."),
        ("tiles", [1, 2, 3], "tiles=[1, 2, 3] is not allowed; give [rows, columns] of 1..64 each."),
        ("tiles", [0, 2], "tiles=[0, 2] is not allowed; give [rows, columns] of 1..64 each."),
        ("tiles", [1.0, 2], "tiles=[1.0, 2] is not allowed; give [rows, columns] of 1..64 each."),
        ("size", [63, 64], "size=[63, 64] is not allowed; give [height, width] from 64 on."),
        ("on", 1, "on=1 is not allowed; give true or false."),
        ("word", "z", "word=z does not exist; there are x, y."),
    ],
)
def test_refusals_name_their_place(key, value, sentence):
    with pytest.raises(DataError) as refusal:
        Settings(**{"p": 1, key: value})
    assert str(refusal.value).startswith(f"Settings.{sentence}")


def test_keys_of_another_name_missing_and_unknown_ones():
    for value in (-1, 2.0, True):
        with pytest.raises(DataError) as refusal:
            Settings(p=1, count=value)
        said = f"a.count={value} is not allowed; give a whole number from 0 on."
        assert str(refusal.value) == said
    with pytest.raises(
        DataError, match=r"^Settings\.p has no value; give it as Settings\.p=\.\.\."
    ):
        Settings()
    with pytest.raises(DataError, match=r"^There is no key Settings\.q; there are p, factor, c"):
        Settings(p=1, q=2)


def test_the_first_object_may_be_refused_and_the_second_too():
    @declared
    class New:
        p: Probability

    for _ in range(3):
        with pytest.raises(DataError, match=r"^New\.p=2 is not allowed"):
            New(p=2)
    assert New(p=1).p == 1


def test_a_single_value():
    assert checked("place", 3, Annotated[int, Within(0, 4)]) == 3
    with pytest.raises(
        DataError, match=r"^place=5 is not allowed; give a whole number in 0\.\.4\."
    ):
        checked("place", 5, Annotated[int, Within(0, 4)])
    with pytest.raises(DataError, match=r"^place=z does not exist; there are x, y\."):
        checked("place", "z", Literal["x", "y"])


@pytest.mark.parametrize("value", ["", " ", "a\0b", "\ud800", 3, None])
def test_no_names(value):
    assert not schema.is_name(value)
    assert schema.is_name("Müll, 塑料")
