"""The command line of scripts: words in any order, own keys, overrides, flags, and how they end."""

import pytest

from lightning_modules.config.script_arguments import OwnKey, ScriptParser, run_script
from lightning_modules.errors import ConfigError

KEYS = {
    "format": OwnKey("onnx|pt2", "of the file", "onnx"),
    "ratios": OwnKey("R,R", "kept", None, "shares"),
}


def parser(**settings):
    made = ScriptParser(description="Does it.", usage="RUN [format=onnx]", keys=KEYS, **settings)
    made.add_argument("--all", action="store_true", help="everything")
    return made


def test_words_in_any_order():
    words = ["data.fit=pad", "a", "--all", "format=pt2", "+data.x=y=z", "b"]
    typed = parser().parse(words)
    assert typed.names == ["a", "b"] and typed.flags.all
    assert typed.own == {"format": "pt2"}
    assert typed.overrides == ["data.fit=pad", "+data.x=y=z"]
    assert (
        parser().parse(["a"]).own == {"format": "onnx"} and parser().parse(["a"]).one_run() == "a"
    )


def test_an_earlier_name_still_works(capsys):
    assert parser().parse(["shares=1,2"]).own["ratios"] == "1,2"
    assert capsys.readouterr().err == "shares= is called ratios= now.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["format="], r"format= has no value; give format=onnx\|pt2\."),
        (["images=3"], r"images=3 is no key of this script; own keys: format, ratios\."),
    ],
)
def test_mistakes(words, says):
    with pytest.raises(ConfigError, match=says):
        parser(overrides=False).parse(words)


@pytest.mark.parametrize(("names", "says"), [([], "not none"), (["a", "b"], "not a and b")])
def test_one_run(names, says):
    with pytest.raises(ConfigError, match=f"Name one run directory, or `last`; {says}"):
        parser().parse(names).one_run()


def test_help_has_flags_and_own_keys():
    text = " ".join(parser(epilog="RUN: a run.").format_help().split())
    for said in ("usage: ", "RUN [format=onnx] Does it.", "--all everything", "RUN: a run.",
                 "format=onnx|pt2 of the file (default: onnx)", "ratios=R,R kept"):  # fmt: skip
        assert said in text
    assert "own keys" not in ScriptParser(description="", usage="RUN").format_help()


def test_how_a_script_ends(capsys):
    def mistaken():
        raise ConfigError("No.")

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match=r"^error: No\.$"):
        run_script(mistaken)
    with pytest.raises(SystemExit) as end:
        run_script(stopped, interrupted="Later.")
    assert end.value.code == 130 and capsys.readouterr().err == "Later.\n"
