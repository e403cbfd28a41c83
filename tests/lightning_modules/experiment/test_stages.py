"""What a user types after `+compression=` becomes the step that is meant."""

import pytest
import torch

from compression.errors import CompressionError
from compression.factorization.given_ranks import FixedRanks
from compression.factorization.rank_rules import VBMF, Energy, Ratio
from lightning_modules.experiment.stages import is_fine_tuned, stages_of


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["+compression=tucker", "compression.tucker.ratio=0.3"], Ratio),
        (["+compression=cp", "compression.cp.ranks=energy", "compression.cp.energy=0.8"], Energy),
        (["+compression=svd", "compression.svd.target.params=0.5"], Energy),
        (["+compression=svd", "compression.svd.ranks={body.*.conv: 8, head: 3}"], FixedRanks),
        (["+compression=tucker", "+compression.tucker.ranks.body.a=[4,2]"], FixedRanks),
        (["+compression=spatial_svd", "compression.spatial_svd.ranks=vbmf"], VBMF),
        (["experiment=multi_teacher_tucker"], Ratio),
        (["experiment=mnasnet_vbmf"], VBMF),
    ],
)
def test_the_rule_for_ranks(compose_config, words, rule):
    stage = stages_of(compose_config(*words))[-1]
    assert type(stage.step.rule) is rule


def test_settings_reach_the_step(compose_config):
    words = [
        "+compression=[tucker,svd]", "compression.tucker.target.macs=0.5",
        "compression.tucker.prefer=latency", "compression.svd.groups=split",
        "+compression.svd.ranks.body.a=[4]", "compression.svd.fine_tuning.epochs=3",
    ]  # fmt: skip
    _, tucker, svd = stages_of(compose_config(*words))
    assert (tucker.step.target.measure, tucker.step.target.ratio) == ("macs", 0.5)
    assert (tucker.step.prefer, tucker.step.groups) == ("latency", "leave")
    assert (svd.name, svd.epochs, svd.step.groups) == ("02_svd", 3, "split")
    assert svd.step.rule.ranks == {"body.a": [4]}
    assert stages_of(compose_config("+compression=spatial_svd"))[-1].step.groups == "split"
    whole = stages_of(compose_config("experiment=multi_teacher_tucker"))[-1]
    assert (whole.step.rule.ratio, whole.epochs) == (0.4, 80)


@pytest.mark.parametrize("key", ["importance", "penalty"])
def test_a_part_by_its_path_is_found_when_the_stages_are_made(compose_config, key):
    group_norms = "compression.pruning.penalties.group_norms"
    words = ["+compression=prune", f"compression.prune.{key}={{_target_: {group_norms}}}"]
    if key == "penalty":  # a function, which is not called for an object
        step = stages_of(compose_config(*words))[-1].step
        assert step.penalty(torch.nn.Linear(2, 1, bias=False)).ndim == 0
        return
    with pytest.raises(CompressionError, match=rf"importance: {group_norms} is no importance"):
        stages_of(compose_config(*words))


@pytest.mark.parametrize(
    ("words", "tuned"),
    [
        (["+compression=merge"], [False]),
        (["+compression=[merge,quantize]"], [False, False]),
        (["+compression=[merge,tucker]"], [True, True]),
        (["+compression=[tucker,merge]"], [True, False]),
        (["+compression=merge", "compression.merge.fine_tuning.epochs=2"], [True]),
        (["+compression=[merge,prune]", "trainer.max_epochs=0"], [False, False]),
    ],
)
def test_whether_a_fine_tuning_follows(compose_config, words, tuned):
    cfg = compose_config(*words)
    stages = [stage for stage in stages_of(cfg) if stage.step is not None]
    assert [is_fine_tuned(cfg, stage) for stage in stages] == tuned
