"""What is printed to be typed comes back from bash, and from Hydra's grammar, as it was meant."""

import os
import subprocess
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.typed_words import PROJECT, bash_word, command, typed_word

NAMES = (
    "plain", "two words", "it's", 'a "b"', "photos (1)", "[0,1]", "a=b", "a,b", "{x}", "$HOME",
    "`id`", "a!b", "back\\slash", "end\\", "*", "#1", "~", "-r", "été", "new\nline", "1e5",
    "null", " led", "a:b", "a;b&c|d", "%", "\udce9", "'\"", "a'b\"c $d\\'",
    "a'b$c", "a'`b`", "a'\\b", "a'!b", "'", "a'\n",
)  # fmt: skip
TEXT = st.text("ab 1\\'\"$`!(){}[]=,;&|<>*?~#-:./%@\n\té", min_size=1, max_size=12)


def from_bash(words):
    """What a bash hands on of words that were pasted into it."""
    script = os.fsencode("printf '%s\\0' " + " ".join(words))
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    return [os.fsdecode(word) for word in found.split(b"\0")[:-1]]


def meant(word):
    """The value that Hydra reads from a word."""
    return OverridesParser.create().parse_override(word).value()


def test_words_come_back_through_bash():
    assert from_bash(map(bash_word, NAMES)) == list(NAMES)
    paths = [Path("-r"), Path("/a b/-r")]
    assert from_bash(map(bash_word, paths)) == ["./-r", "/a b/-r"]


def test_values_come_back_through_bash_and_hydra():
    folders = [f"/runs/{name}" for name in NAMES]
    for values in (NAMES, map(Path, folders)):
        values = list(values)
        words = from_bash(typed_word("resume", value) for value in values)
        assert [meant(word) for word in words] == list(map(str, values))
    (word,) = from_bash([typed_word("data.source.exclude", list(NAMES))])
    assert meant(word) == list(NAMES)


@settings(max_examples=300)
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_any_value_is_read_as_itself(values):
    words = [typed_word("key", values)]
    assert not any(control in words[0] for control in "\n\t")
    for value in values:
        word = typed_word("key", value)
        if word.startswith("key="):  # what bash would not change
            assert meant(word) == value


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (typed_word("resume", Path("/a/b")), "resume=/a/b"),
        (typed_word("resume", "/a b"), "'resume=/a b'"),
        (typed_word("resume", "/a (1)"), "\"resume='/a (1)'\""),
        (typed_word("resume", "2024"), "\"resume='2024'\""),
        (typed_word("seed", 3), "seed=3"),
        (typed_word("~model.x", None), "'~model.x=null'"),
        (typed_word("a", ["b", "c d"]), "'a=[b,c d]'"),
    ],
)
def test_no_more_quotes_than_needed(word, expected):
    assert word == expected


def test_a_command_names_the_script_from_where_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert command("run.py", "resume=x", "") == "python run.py resume=x"
    monkeypatch.chdir(tmp_path)
    assert command("run.py", "a=b") == f"python {bash_word(PROJECT / 'run.py')} a=b"
    assert command("absent.py") == "python absent.py"
