"""Which rule `ranks` means: by name, by `_target_`, as an object; rules of somebody's own."""

import subprocess
import sys

import pytest
from torch import nn

from compression import registry
from compression.errors import CompressionError
from compression.factorization import Rule
from compression.factorization.rank_rule import RANK_RULES
from compression.factorization.rank_rules import VBMF, Energy, Ratio
from compression.factorization.settings import TuckerSettings
from compression.factorization.tucker import Tucker
from tests.compression.factorization.test_rank_rules import plan_of, ranks_of


class Third(Rule):
    def rank(self, candidate, number, rounds):
        return [full // 3 for full in candidate.max_rank]


class Part(Rule):
    """Asks for the number of the step's `energy`, and a target can turn it."""

    setting = "energy"

    def __init__(self, part: float = 0.25) -> None:
        self.part = part

    def rank(self, candidate, number, rounds):
        return [max(1, int(self.part * full)) for full in candidate.max_rank]

    def why(self):
        return f"part {self.part:.3g}"

    def at(self, parameter):
        return Part(parameter)


class Odd(Rule):
    setting = "oddness"


HERE = __name__


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """An installed package that offers these rules."""
    info = tmp_path / "own_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own_rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[model_diet.rank_rules]\nthird = {HERE}:Third\npart = {HERE}:Part\nodd = {HERE}:Odd\n"
        f"plain = {HERE}:plan_of\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.parametrize("name", [name for name in RANK_RULES.paths if name != "optimal"])
def test_each_registered_rule_is_found_by_name_and_by_target(name):
    by_name = Tucker(ranks=name, **{name: 0.3}).rule
    by_target = Tucker(ranks={"_target_": RANK_RULES.paths[name].replace(":", "."), **{
        {"vbmf": "strength", "sensitivity": "bound"}.get(name, "ratio"): 0.3
    }}).rule  # fmt: skip
    assert type(by_name) is type(by_target) and vars(by_name) == vars(by_target)
    assert by_name.setting == name
    own = Tucker(ranks=by_name)
    assert own.rule is by_name


def test_the_rule_without_a_number_is_found_by_name_and_by_target():
    named = {"_target_": RANK_RULES.paths["optimal"].replace(":", ".")}
    rules = [Tucker(ranks=ranks, target={"macs": 0.5}).rule for ranks in ("optimal", named)]
    assert type(rules[0]) is type(rules[1]) is RANK_RULES.load("optimal", "ranks")
    assert rules[0].setting is None and vars(rules[0]) == vars(rules[1])


def test_a_rule_of_ones_own_by_target_as_an_object_and_by_name(network, sample, offered):
    for ranks in ({"_target_": f"{HERE}.Third"}, Third(), "third"):
        plan = plan_of(network, Tucker(ranks=ranks), sample)
        assert ranks_of(plan)["3"] == [8, 5]
        assert plan["layers"]["3"]["why"] == "Third"
    assert Tucker(ranks="part").rule.part == 0.9  # the step's energy
    assert Tucker(ranks="part", energy=0.5).rule.part == 0.5
    assert Tucker(ranks={"_target_": f"{HERE}.Part", "part": 0.4}, energy=0.5).rule.part == 0.4


def test_a_target_turns_a_rule_that_can_be_turned(network, sample, offered):
    step = Tucker(ranks="part", target={"macs": 0.6})
    plan = plan_of(network, step, sample)
    assert plan["layers"]["3"]["why"].startswith("part 0.")
    reached, rest = plan["target"].split("%")
    assert 50 < float(reached) < 61.3 and rest.startswith(" of the MACs")
    for ranks in (Third(), {"_target_": f"{HERE}.Third"}, "third", VBMF(0.7)):
        with pytest.raises(CompressionError, match="but tucker.ranks chooses the ranks in another"):
            Tucker(ranks=ranks, target={"macs": 0.6})
    with pytest.raises(CompressionError, match="No target can turn the rule Third"):
        Third().at(0.5)
    assert [rule.has_number() for rule in (Ratio, Energy, VBMF, Third)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        (
            {"_target_": "builtins.dict"},
            "tucker.ranks: builtins.dict is no rank rule: it has no",
        ),
        ({"_target_": "no_such.Rule"}, "tucker.ranks: no_such.Rule cannot be built: No module"),
        (
            {"_target_": f"{HERE}.Third", "x": 1},
            "Third cannot be built: Third.. takes no arg",
        ),
        (nn.Identity(), "Identity is no rank rule: it has no rank"),
        (Third, "Third is no rank rule: it is a class and not an object of one"),
        (
            {"_target_": f"{HERE}.Duck"},
            "Duck is no rank rule; derive your class from",
        ),
        ("odd", "ranks=odd: its number is to be the setting oddness, which this step does not hav"),
        ("plain", "plan_of is no rank rule: it has no rank"),
        ("thirt", r"ranks=thirt is neither a rule \(ratio, .*\) nor a file .*; a rule of your own"),
        (3, "tucker.ranks must map layers to ranks"),
    ],
)
def test_what_is_no_rule_is_refused_when_the_step_is_built(offered, ranks, says):
    with pytest.raises(CompressionError, match=says):
        Tucker(ranks=ranks)


class Duck:
    def rank(self, candidate, number, rounds):
        return [1]


def test_the_check_of_a_name_imports_neither_torch_nor_foreign_code(offered):
    TuckerSettings.check({"ranks": {"_target_": "no_such.Rule"}, "target": {"macs": 0.5}}, "a")
    TuckerSettings.check({"ranks": "third", "target": {"macs": 0.5}}, "a")
    code = (
        "import sys; from compression.steps import step_settings\n"
        "kind = step_settings('compression.factorization.tucker.Tucker')\n"
        "kind.check({'ranks': 'sensitivity', 'target': {'macs': 0.5}}, 'a')\n"
        "try: kind.check({'ranks': 'vbmf', 'target': {'macs': 0.5}}, 'a')\n"
        "except ValueError as error: print(error, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == (
        "a.target is met by turning the number of a rule (energy, ratio, sensitivity, error), but "
        "a.ranks chooses the ranks in another way; leave one of the two out. False\n"
    )
