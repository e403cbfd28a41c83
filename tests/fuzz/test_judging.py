"""The judge of the fuzzing finds what it is there for."""

import json
import os
import pickle

import pytest

from lightning_modules.errors import ConfigError
from tests.fuzz import campaign, judging
from tests.fuzz.target import Target


class Calls:
    def __reduce__(self):
        return os.system, ("true",)


def sentence():
    raise ConfigError("This is one sentence.")


def silent():
    raise SystemExit(3)


def test_results_and_sentences_pass(tmp_path):
    assert judging.judge(lambda: 1, tmp_path) is None
    assert judging.judge(sentence, tmp_path) == "error: This is one sentence."


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda: json.loads("{"), json.JSONDecodeError),
        (silent, AssertionError),
        (lambda: pickle.loads(pickle.dumps(Calls())), judging.RanCodeError),
        (lambda: os.system("true"), judging.RanCodeError),
        (lambda: bytearray(2**31), MemoryError),
    ],
)
def test_all_else_is_a_finding(read, error, tmp_path):
    with pytest.raises(error):
        judging.judge(read, tmp_path)


def test_code_that_a_reader_hides_is_found_too(tmp_path):
    def hidden():
        try:
            os.system("true")
        except Exception:
            sentence()

    with pytest.raises(judging.RanCodeError, match=r"os\.system"):
        judging.judge(hidden, tmp_path)


def test_writing_elsewhere_is_found(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    judging.judge(lambda: (inside / "a").write_text("a"), inside)
    with pytest.raises(judging.RanCodeError, match="open"):
        judging.judge(lambda: outside.write_text("a"), inside)


def test_time_is_bounded():
    def busy():
        while True:
            pass

    with pytest.raises(judging.TooSlowError), judging.limited(seconds=0.1):
        busy()


def test_a_campaign_goes_on_where_it_stopped(tmp_path, capfd):
    from hypothesis import strategies as st

    def read(folder, value):
        if value > 10:
            raise KeyError(value)
        if value > 5:
            sentence()

    target = Target("numbers", st.integers(0, 20), read)
    table, found = tmp_path / "table.csv", tmp_path / "found"
    campaign.fuzz([target], 0.3, table, found)
    first = campaign.read_totals(table)["numbers"]
    assert first.findings == 1 and 0 < first.sentences < first.executions
    (kept,) = found.glob("numbers/keyerror*.pickle")
    assert pickle.loads(kept.read_bytes()) == 11  # the smallest one
    campaign.fuzz([target], 0.3, table, found)
    second = campaign.read_totals(table)["numbers"]
    assert second.rounds > first.rounds and second.executions > first.executions
    assert second.findings == 1
