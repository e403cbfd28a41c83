"""Whatever is read gives a result or a sentence; a small share of `python -m tests.fuzz`."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.judging import judge
from tests.fuzz.targets import targets

TARGETS = {target.name: target for target in targets()}
# Those of which an input takes about a millisecond.
CHEAP = (
    "coco annotations", "csv tables", "split csv", "split records", "exclusion lists",
    "class lists, json", "class lists, text", "unpacked lists", "look-alikes", "stored metrics",
    "download notes", "save_to_disk notes", "rows", "recipes", "words before Hydra",
    "words of scripts", "pointers",
)  # fmt: skip


def read_examples(name: str, folder, count: int) -> None:
    target = TARGETS[name]
    target.prepare(folder)

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.strategy())
    def read(value):
        judge(lambda: target.read(folder, value), folder, allowed=target.allowed)

    read()


@pytest.mark.parametrize("name", CHEAP)
def test_a_sentence_or_a_result(name, homes, monkeypatch):
    monkeypatch.chdir(homes)
    read_examples(name, homes, 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_a_sentence_or_a_result_of_every_reader(name, homes, monkeypatch):
    monkeypatch.chdir(homes)
    read_examples(name, homes, 300)
