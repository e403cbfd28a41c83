"""Terms and aggregations of one's own, by name and by `_target_`; what a term asks of a run."""

import subprocess
import sys

import pytest
import torch

from compression import registry
from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.feature_term import FeatureTerm, ParameterFreeLoss
from lightning_modules.distillation.logit_term import LogitTerm
from lightning_modules.distillation.schema import AGGREGATIONS, check_distillation
from lightning_modules.distillation.term_settings import TERM_SETTINGS, TERMS, build_term
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from tests.conftest import ROOT

HERE = __name__


class Squared(LogitTerm):
    """Squared differences of probabilities, raised to a power."""

    single_labels = True

    def __init__(self, *, power=1, weight=1.0):
        self.power = power
        super().__init__(weight=weight)

    def divergence(self, log_student, targets, labels):
        return (log_student.exp() - targets).square().sum(dim=1).mean() ** self.power


class Means(FeatureTerm):
    """Differences of the outputs' means."""

    def comparison(self, student, teacher):
        return ParameterFreeLoss(lambda ours, theirs: (ours.mean() - theirs.mean()).square())


class Bare:
    weight = 1.0


class PerImage(LogitTerm):
    def divergence(self, log_student, targets, labels):
        return (log_student.exp() - targets).square().sum(dim=1)


def first_teacher(logits, scaled, weights, labels):
    return torch.softmax(scaled[0], dim=1)


class Even:
    def __init__(self, floor=0.0):
        self.floor = floor

    def __call__(self, logits, scaled, weights, labels):
        return torch.full_like(scaled[0], max(1 / scaled[0].shape[1], self.floor))


def classes_only(logits, scaled, weights, labels):
    return labels


def distillation(**settings):
    defaults = {"temperature": 4.0, "alpha": 0.5, "terms": {"soft": "soft_targets"}}
    return Distillation(**{**defaults, **settings})


def test_every_term_is_declared_and_its_defaults_are_those_of_its_file(compose_config):
    assert set(TERM_SETTINGS) == set(TERMS.paths)
    for name, declaration in TERM_SETTINGS.items():
        term = build_term(name, "term")
        assert isinstance(term, declaration)
        node = dict(compose_config(f"distillation={name}").distillation.terms[name])
        assert TERMS.name_of(node.pop("_target_")) == name
        assert {key: getattr(term, key) for key in node} == node


def test_terms_by_name_target_and_object():
    terms = {
        "a": "soft_targets",
        "b": {"_target_": f"{HERE}.Squared", "power": 2, "weight": 3.0},
        "c": Means(weight=0.5),
    }
    made = distillation(terms=terms)
    assert made.term_weights == {"a": 1.0, "b": 3.0, "c": 0.5}
    assert list(made.logit_terms) == ["a", "b"] and list(made.feature_terms) == ["c"]
    assert made.logit_terms["b"].power == 2


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ({"_target_": f"{HERE}.first_teacher"}, [[0.75, 0.25]]),
        ({"_target_": f"{HERE}.Even", "floor": 0.1}, [[0.5, 0.5]]),
        (first_teacher, [[0.75, 0.25]]),
        (Even(), [[0.5, 0.5]]),
    ],
)
def test_aggregations_of_ones_own(aggregation, expected):
    from lightning_modules.distillation.teachers import Teacher

    teachers = [Teacher(name, torch.nn.Identity()) for name in "ab"]
    logits = [torch.tensor([[3.0, 1.0]]).log(), torch.zeros(1, 2)]
    made = distillation(aggregation=aggregation)
    found = made.joint_targets(logits, torch.tensor([0]), teachers=teachers, temperature=1.0)
    torch.testing.assert_close(found, torch.tensor(expected))
    assert made.weights(teachers) == [0.5, 0.5]
    assert distillation(aggregation="sum_of_losses").weights(teachers) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["+distillation.terms.mine=soft_target"], r"mine=soft_target does .* mean soft_targets\?"),
        (
            [f"+distillation.terms.mine._target_={HERE}.Bare"],
            r"terms.mine: .*test_schema.Bare is no distillation term; derive your class from Logit",
        ),
        (["+distillation.terms.mine._target_=no_such.Term"], "no_such.Term cannot be built: No"),
        (
            [f"+distillation.terms.mine={{_target_: {HERE}.Squared, exponent: 2}}"],
            "Squared cannot be built: .*exponent",
        ),
        (["+distillation.terms.mine=3"], r"terms.mine: builtins.int is no distillation term"),
        (
            ["distillation=dkd", "distillation.terms.dkd.other_weight=-1"],
            "distillation.terms.dkd.other_weight=-1 is not allowed; it must be at least 0",
        ),
        (
            ["+distillation.terms.soft_targets.wieght=1"],
            r"no key distillation.terms.soft_targets.wieght \(did you mean weight\?\); there are",
        ),
        (
            ["distillation=hints", "distillation.terms.hints.features=stage1"],
            "hints.features=stage1 is not allowed; it must be a list of the student's modules",
        ),
        (["+distillation.temprature=2"], r"no key distillation.temprature \(did you mean temper"),
        (
            ["distillation.aggregation={_target_: builtins.dict}"],
            "distillation.aggregation: builtins.dict is no aggregation: it has no __call__",
        ),
        (
            ["distillation.aggregation={_target_: no_such.Mean}"],
            "distillation.aggregation: no_such.Mean cannot be built: No module",
        ),
        (["distillation.aggregation={mean: 1}"], "aggregation={'mean': 1} has no _target_"),
        (
            [f"+distillation.terms.mine._target_={HERE}.Means", "+teacher=resnet18"],
            "distillation.terms.mine compares modules, but no teacher names any",
        ),
        (
            [f"+distillation.terms.mine._target_={HERE}.Squared", "+teacher=resnet18",
             "mixing=cutmix"],
            "distillation.terms.mine needs one labelled class an image, and mixed images have two",
        ),
        (["+teacher=resnet18", "teacher.resnet18.image_size=x"], "image_size=x is not allowed; it"),
        (["+teacher=resnet18", "teacher.resnet18.weight=-1"], "resnet18.weight=-1 is not allowed"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_is_trained(compose_config, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_distillation(compose_config(*words))


@pytest.mark.parametrize(
    ("settings", "mixed", "sentence"),
    [
        ({"terms": {"mine": PerImage()}}, False, r"mine: .*PerImage fails .* gives \(2,\), not a"),
        ({"aggregation": classes_only}, False, r"on: .*classes_only fails .*\(2,\), not N x C"),
        ({"aggregation": len}, False, r"aggregation: .* fails on two images' logits: len"),
        ({"terms": {"dkd": "dkd"}}, True, "mixed images have two"),
    ],
)
def test_losses_are_tried_out_before_anything_is_trained(settings, mixed, sentence):
    with pytest.raises(ConfigError, match=sentence):
        distillation(**settings).try_out(3, mixed=mixed)
    for name in AGGREGATIONS.paths:
        distillation(aggregation=name).try_out(3, mixed=mixed)
    distillation(terms={name: name for name in TERMS.paths}).try_out(3, mixed=False)


def test_an_installed_package_offers_a_term_and_an_aggregation(
    compose_config, tmp_path, monkeypatch
):
    (tmp_path / "offering.py").write_text(
        "from lightning_modules.distillation import LogitTerm\n"
        "class Linear(LogitTerm):\n"
        "    def divergence(self, log_student, targets, labels):\n"
        "        return -(log_student * targets).sum(dim=1).mean()\n"
        "def last(logits, scaled, weights, labels):\n"
        "    return scaled[-1].softmax(dim=1)\n"
    )
    (tmp_path / "offering-1.0.dist-info").mkdir()
    (tmp_path / "offering-1.0.dist-info" / "METADATA").write_text("Name: offering\nVersion: 1.0\n")
    (tmp_path / "offering-1.0.dist-info" / "entry_points.txt").write_text(
        "[model_diet.distillation_terms]\nlinear = offering:Linear\n"
        "[model_diet.aggregations]\nlast = offering:last\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    try:
        cfg = compose_config("+distillation.terms.mine=linear", "distillation.aggregation=last")
        assert "offering" not in sys.modules
        check_distillation(cfg)
        made = build(cfg.distillation)
    finally:
        registry._entry_points.cache_clear()
    assert type(made.terms["mine"]).__name__ == "Linear"
    assert made.aggregation is sys.modules["offering"].last
    made.try_out(3, mixed=True)


def test_a_node_builds_its_own_terms(compose_config):
    cfg = compose_config(f"+distillation.terms.mine._target_={HERE}.Squared")
    made = build(cfg.distillation)
    assert isinstance(made.logit_terms["mine"], Squared)
    cfg = compose_config(f"distillation.aggregation={{_target_: {HERE}.first_teacher}}")
    assert build(cfg.distillation).aggregation is first_teacher  # Hydra would call it


def test_the_declarations_of_our_own_need_no_torch():
    code = (
        "import sys; from lightning_modules.distillation.term_settings import settings_of, TERMS;"
        "[settings_of(name, name) for name in TERMS.paths]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
