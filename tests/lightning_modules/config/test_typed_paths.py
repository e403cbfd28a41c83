"""Paths are taken as they are typed, `~` is the home folder, and the rest is said how to quote."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lightning_modules.config.command_line import expand, explain
from lightning_modules.config.typed_paths import check_paths, how_to_quote, path_of, take_paths
from lightning_modules.errors import ConfigError

ODD = [
    "photos (1)", "été", "日本 语", "it's", 'a"b', "a#b&c;d=e", "a,b", "[x]", "x{y}", "2024", "007",
    "1e3", "true", "inf", "caf\udce9", "a\\b", "-1", "x'", "{a:1}", "choice(1,2)", "$x",
]  # fmt: skip


def meaning(word):
    """What Hydra makes of an override."""
    return OverridesParser.create().parse_override(word).value()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/jo")
    return tmp_path


@pytest.mark.parametrize("name", ODD)
def test_a_folder_that_exists_is_meant(here, name):
    (here / name).mkdir()
    (word,) = take_paths([f"data.root={name}"])
    assert meaning(word) == name
    assert take_paths([word]) == [word]  # as a run stores it


def test_a_plain_name_is_not_quoted(here):
    (here / "photos").mkdir()
    for word in ("data.root=photos", f"data.root={here}/photos"):
        assert take_paths([word]) == [word]


NOT_TAKEN = ("a,b", "[x]", "{a:1}", "choice(1,2)")  # lists and sweeps, unless such a folder exists


@pytest.mark.parametrize("name", [name for name in ODD if name not in NOT_TAKEN])
def test_one_that_does_not_exist_is_named_in_the_refusal(here, name):
    assert meaning(take_paths([f"data.root={name}"])[0]) == name


@settings(max_examples=300)
@given(st.text(min_size=1, max_size=12))
def test_any_text_is_taken_or_left_to_hydra(text):
    if "\0" in text or "${" in text or text.startswith("~"):
        return
    (word,) = take_paths([f"model.weights={text}"])
    assert word == f"model.weights={text}" or meaning(word) == text


@pytest.mark.parametrize(
    "word",
    [
        "data.root=photos", "data.root='photos (1)'", 'data.root="photos (1)"', "data.root=null",
        "data.root=", "model.weights=null", "data.root=${data.source.root}", "data.root=a,b",
        "data.root=[a,b]", "seed=007", "~data.root", "optimizer.lr=1e-3", "card.license=été",
    ],
)  # fmt: skip
def test_what_hydra_reads_stays(here, word):
    assert take_paths([word]) == [word]


@pytest.mark.parametrize(
    "key",
    [
        "data.root", "data.split.file", "data.exclude", "data.source.annotations", "from_run",
        "data.source.table", "data.source.class_map", "data.source.classes",
        "model.weights", "teacher.a.run", "teacher.a.weights", "cache_dir", "outputs_dir",
        "hydra.run.dir", "hydra.sweep.dir", "resume", "+data.root", "++data.source.root",
    ],
)  # fmt: skip
def test_every_key_of_a_path(here, key):
    (word,) = take_paths([f"{key}=été (1)"])
    assert word.startswith(f"{key}=") and meaning(word) == "été (1)"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("~/photos", "/home/jo/photos"),
        ("~", "/home/jo"),
        ("~/é (1)", "/home/jo/é (1)"),
        ("~nobodyx/p", "~nobodyx/p"),
        ("photos~", "photos~"),
    ],
)
def test_the_home_folder(here, typed, meant):
    assert meaning(take_paths([f"data.root={typed}"])[0]) == meant


def test_a_folder_of_that_name_comes_before_the_home_folder(here):
    (here / "~").mkdir()
    assert meaning(take_paths(["data.root=~"])[0]) == "~"


def test_several_values_of_a_sweep(here):
    assert take_paths(["-m", "data.root=é,ü"]) == ["-m", "data.root='é','ü'"]
    (here / "é,ü").mkdir()
    assert take_paths(["-m", "data.root=é,ü"]) == ["-m", "data.root='é,ü'"]


def test_the_path_that_a_value_means():
    for text in ("/a (1)", "'/a (1)'", '"/a (1)"'):
        assert path_of(text) == "/a (1)"
    assert path_of("2024") == "2024"


def test_a_run_is_named_as_it_is(homes):
    for key in ("resume", "from_run"):
        with pytest.raises(ConfigError, match=r"The run directory /x/it's \(1\) does not exist"):
            expand([f"{key}=/x/it's (1)"])


@pytest.mark.parametrize("word", ["card.license=é (x)", "card.license=a, 'b'", 'card.license="'])
def test_how_other_values_are_quoted(word):
    said = how_to_quote(word, "so")
    assert said.startswith(f"{word} cannot be read (so); ")
    (typed,) = shlex.split(said.split("for the shell: ")[1])
    assert meaning(typed) == word.split("=")[1]


def test_a_grammar_error_is_explained():
    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides(["card.license=é"])
    assert explain(error.value) == (
        "card.license=é cannot be read (its value has an odd sign); if the value is a text, quote "
        "it for Hydra, and all of it for the shell: 'card.license=\"é\"'"
    )
    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides(["photos"])
    assert explain(error.value).startswith("photos is no key=value; where a value has a space in")


def test_a_variable_is_not_a_key(here):
    with pytest.raises(ConfigError, match=r"write \$\{oc.env:HOME\}, or let the shell put it in"):
        take_paths(["data.root=${HOME}/photos"])


@pytest.mark.parametrize(
    ("root", "says"),
    [
        (None, r"data\.root has no value; give it as data\.root="),
        ("", r"data\.root has no value; give it as data\.root="),
        ([1], r"data\.root=\[1\] is no path; give a text"),
        (["a", "b"], r"data\.root=\['a', 'b'\] is no path"),
        ({"a": 1}, r"data\.root=\{'a': 1\} is no path"),
        (True, r"data\.root=True is no path"),
        (7, r"data\.root=7 is no path"),  # YAML has read 007
    ],
)
def test_what_is_no_path(root, says):
    with pytest.raises(ConfigError, match=says):
        check_paths(OmegaConf.create({"data": {"root": root}}))


def test_the_home_folder_in_a_file_of_options(here):
    node = {"data": {"root": "~/p", "source": {"root": "${data.root}"}}, "model": {"weights": None}}
    cfg = OmegaConf.create(node)
    OmegaConf.set_struct(cfg, True)
    check_paths(cfg)
    assert cfg.data.root == cfg.data.source.root == "/home/jo/p"
