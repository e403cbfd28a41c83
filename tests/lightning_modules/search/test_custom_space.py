"""The spaces that are shipped: every draw is a network or a run that can be."""

import optuna
import pytest
from omegaconf import OmegaConf

from compression.factorization import SVD
from compression.step import LayerSpace, Plan, Step
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.blocks.staged import stage_rows
from lightning_modules.search.check import check_search
from lightning_modules.search.custom_space import custom_overrides
from lightning_modules.search.trial_job import meta_costs
from tests.lightning_modules.config.test_config import chosen

NEEDS = {
    "distillation": ["+teacher=original", "+compression=tucker"],
    "compression": ["+compression=[prune,svd]"],
    "bare": ["optimizer.lr=interval(0.1,0.2)"],
}


@pytest.mark.parametrize("option", chosen("sweep"))
def test_every_sweep_names_keys_that_are_there(multirun, option):
    check_search(multirun(f"sweep={option}", *NEEDS.get(option, [])))


def draws(root, count):
    """The overrides of so many trials drawn at random, as dicts."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        trial = study.ask()
        lines = custom_overrides(root, trial)
        study.tell(trial, 0.0)
        yield dict(line.split("=", 1) for line in lines), trial.params


def test_architectures_are_networks_within_the_strides(multirun, compose_config):
    root = multirun("sweep=architecture")
    kinds = set()
    for number, (given, params) in enumerate(draws(root, 25)):
        cfg = OmegaConf.create({"model": root.model, "data": {"image_size": 64}})
        cfg.merge_with_dotlist([f"{key}={value}" for key, value in given.items()])
        if number < 4:
            assert meta_costs(cfg, num_classes=6)["cost/macs"] > 0
        kept = {n: s for n, s in cfg.model.stages.items() if s.repeat}
        strides = [s.s for s in kept.values()]
        assert 2 ** (1 + strides.count(2)) <= 16
        drawn = {key.split(".")[2] for key in params if key.startswith("model.stages.")}
        for name in drawn - set(kept):  # of a stage without repeats nothing else is drawn
            assert [k for k in params if k.startswith(f"model.stages.{name}.")] == [
                f"model.stages.{name}.repeat"
            ]
        for name, stage in kept.items():
            kinds.add(stage.kind)
            takes_t = stage.kind not in ("Conv", "DWConv")
            assert (f"model.stages.{name}.t" in params) == takes_t
    assert len(kinds) == 6


def test_the_command_line_fixes_parts_of_an_architecture(multirun):
    root = multirun("sweep=architecture", "model.stages.s2.kind=DWConv", "model.stem.out=24")
    for given, params in draws(root, 5):
        assert not {"model.stages.s2.kind", "model.stem.out", "model.stages.s2.t"} & set(params)
        assert "model.stem.out" not in given
    with pytest.raises(ConfigError, match="the command line chose model=resnet; leave model out"):
        list(draws(multirun("sweep=architecture", "model=resnet"), 1))


def test_staged_as_it_stands_is_diet_found(compose_config):
    found = build_network(
        compose_config("model=blocks/diet_found").model, num_classes=9, image_size=64
    )
    staged = build_network(compose_config("model=staged").model, num_classes=9, image_size=64)
    shapes = [tensor.shape for tensor in staged.state_dict().values()]
    assert shapes == [tensor.shape for tensor in found.state_dict().values()]
    assert sum(p.numel() for p in staged.parameters()) == 46_169


def test_rows_of_stages():
    stage = {"repeat": 2, "out": 16, "k": 5, "t": 3, "se": 1, "act": "Hardswish", "s": 2}
    stages = {"a": {**stage, "kind": "InvertedResidualv3"}, "b": {**stage, "kind": "DWConv"}}
    stages["c"] = {**stage, "kind": "Conv", "repeat": 0}
    stem = {"out": 8, "k": 3, "s": 2, "act": "ReLU"}
    rows = stage_rows(stem=stem, stages=stages, head={"out": 32, "dropout": 0.2})
    assert list(rows) == ["stem", "a", "b", "features", "pool", "flat", "dropout", "classifier"]
    assert rows["a"] == {
        "repeat": 2, "kind": "InvertedResidualv3",
        "k": 5, "t": 3, "out": 16, "se": 1, "hs": 1, "s": 2,
    }  # fmt: skip
    assert rows["b"] == {
        "repeat": 2, "kind": "DWConv", "out": 16, "k": 5, "s": 2, "act": "Hardswish"
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"model.stages.a.repeat=-1; it must be"):
        stage_rows(stem=stem, stages={"a": {**stage, "repeat": -1}}, head={"out": 32})


def test_one_knob_for_each_step(multirun):
    root = multirun("sweep=compression", "+compression=[prune,prune_layers,prune_weights,svd]")
    for given, params in draws(root, 3):
        assert set(given) == set(params) == {
            "compression.prune.target.macs", "compression.prune_layers.target.macs",
            "compression.prune_weights.sparsity", "compression.svd.ratio",
        }  # fmt: skip


@pytest.mark.slow
def test_ranks_and_units_layer_by_layer(multirun, compose_config):
    words = [
        "sweep=compression", "sweep.space.by=layer", "+compression=[prune_layers,svd]",
        "compression.svd.groups=split",
    ]  # fmt: skip
    root = multirun(*words)
    network = build_network(root.model, num_classes=6, image_size=root.data.image_size)
    found = SVD(groups="split").candidates(network, root.data.image_size)[0]
    layers = [layer for layer in found if layer.min_rank != layer.max_rank]
    for given, params in draws(root, 3):
        ranks = [key for key in params if key.startswith("compression.svd.ranks.")]
        assert len(ranks) == len(layers) > 3
        lines = [f"{key}={value}" for key, value in given.items()]
        cfg = compose_config(*words, *lines)
        drawn = cfg.compression.svd.ranks
        assert "body.output" not in drawn  # a head of few classes is no burden
        assert all(layer.min_rank[0] <= drawn[layer.name] <= layer.max_rank[0] for layer in layers)
        assert len(cfg.compression.prune_layers.keep) == 3
        assert cfg.compression.prune_layers.target is None
    fixed = multirun(*words, "compression.svd.ranks={body.*: 3}")
    assert not [k for _, p in draws(fixed, 1) for k in p if "svd" in k]


class OwnStep(Step[Plan]):
    """Says itself what is varied: one number, or two of its layers."""

    name = "own"
    searched = "strength"

    def __init__(self, *, strength=1.0, plan=None):
        self.strength = strength

    def layer_space(self, network, image_size):
        choices = {"body.a": "range(1,3)", "head": None}
        return LayerSpace(
            setting="plan",
            choices=choices,
            settings=lambda drawn: {"plan": drawn, "strength": None},
        )


def test_a_step_of_ones_own_says_what_is_varied(multirun):
    own = ["sweep=compression", f"+compression.own._target_={__name__}.OwnStep"]
    ((given, params),) = draws(multirun(*own), 1)
    assert set(given) == {"++compression.own.strength"}
    assert set(params) == {"compression.own.strength"}
    assert 0.2 <= params["compression.own.strength"] <= 0.95
    fixed = multirun(*own, "+compression.own.strength=1")
    assert list(draws(fixed, 1)) == [({}, {})]
    ((given, params),) = draws(multirun(*own, "sweep.space.by=layer"), 1)
    whole, ratio = params["compression.own.plan.body.a"], params["compression.own.plan.head"]
    assert whole in (1, 2, 3) and 0.2 <= ratio <= 0.95 and len(params) == 2
    assert given == {
        "++compression.own.plan": f"{{body.a:{whole},head:{ratio}}}",
        "compression.own.strength": "null",
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["sweep=compression", "+compression=[prune,quantize]"],
            "compression.quantize: quantize has no setting that sweep=compression could vary",
        ),
        (["sweep=compression"], r"add '\+compression=svd'"),
        (["sweep=compression", "+compression=svd", "sweep.space.by=x"], "sweep.space.by=x does"),
        (["sweep=distillation"], r"but there is none; add '\+teacher=NAME'"),
        (["sweep.pruner=median", "objective=score/macs", "sweep.direction=minimize"], "each epoch"),
        (["sweep.pruner=early"], "sweep.pruner=early does not exist; there are median"),
        (
            ["sweep.pruner=median", "objective=[val/f1,cost/macs]",
             "sweep.direction=[maximize,minimize]"],
            "by one objective, not by 2",
        ),
        (["sweep.custom_search_space=nowhere.f"], "nowhere.f cannot be loaded"),
        (
            ["sweep.custom_search_space=tests.lightning_modules.search.test_custom_space.odd"],
            "suggests optimizer.no, which is not a key",
        ),
    ],
)  # fmt: skip
def test_mistakes(multirun, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_search(multirun(*words))


def odd(cfg, trial):
    trial.suggest_categorical("optimizer.no", [1, 2])
