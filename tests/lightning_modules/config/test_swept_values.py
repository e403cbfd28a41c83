"""What was typed as a quoted text stays one: Hydra forgets quotes inside choice(..)."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_modules.config import swept_values, written
from lightning_modules.runs import quote

ODD = [
    "nan",
    "inf",
    "-inf",
    "NaN",
    "1e3",
    "1",
    "-0.5",
    "true",
    "False",
    "null",
    "NULL",
    "0x10",
    "1_0",
]
TEXTS = [
    *ODD, "ok", "a b", " a", "a,b", "it's", '"', "\\", "[1]", "{a:1}", "choice(1,2)", "é", "",
    "a=b", "a:b", "1e", "1.5.2", "${seed}",
]  # fmt: skip


def parsed(expression):
    return OverridesParser.create().parse_override(f"key={expression}")


@pytest.mark.parametrize("form", ["choice({})", "{}", "shuffle(choice({}))"])
def test_quoted_texts_come_back(form):
    override = parsed(form.format(",".join(quote(text) for text in TEXTS)))
    found = [parsed(value).value() for value in written(override)]
    assert sorted(found) == sorted(TEXTS) and all(isinstance(one, str) for one in found)


def test_what_is_no_text_stays_what_it_is():
    override = parsed("ok,1e3,1,true,null,inf,[0.2,'nan'],{a:'1'}")
    values = swept_values(override)
    assert values == ["ok", 1000.0, 1, "true", "null", float("inf"), "[0.2,'nan']", "{a:'1'}"]
    read = [parsed(value).value() for value in written(override)]
    assert read == ["ok", 1000.0, 1, True, None, float("inf"), [0.2, "nan"], {"a": "1"}]
    assert [type(one) for one in read[:4]] == [str, float, int, bool]


def test_what_python_takes_for_equal_is_told_apart():
    values = swept_values(parsed("choice(1,true,1.0,0,false,nan)"))
    assert len(set(values)) == 6
    assert [repr(parsed(v).value()) for v in values] == ["1", "True", "1.0", "0", "False", "nan"]


def test_ranges_and_texts_that_need_no_quotes_stay_as_they_were():
    assert written(parsed("range(0,3)")) == ["0", "1", "2"]
    assert written(parsed("choice(simple,strong,blocks/x)")) == ["simple", "strong", "blocks/x"]
    assert written(parsed("'a','b c'")) == ["'a'", "'b c'"]  # as studies have them
