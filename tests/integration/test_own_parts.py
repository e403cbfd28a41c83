"""Parts of one's own take settings that nobody declared; what is no part is said by its name."""

import pytest
import torch
from torch import nn

from lightning_modules.config.check import check
from lightning_modules.errors import USER_ERRORS, ConfigError
from lightning_modules.registry import build, build_part
from lightning_modules.runs.data import make_data
from lightning_modules.training.losses.building import build_loss
from lightning_modules.training.mixing import configured_mixing
from lightning_modules.training.optimization import FitLength, make_optimizer, make_schedule

HERE = __name__
LENGTH = FitLength(total_steps=10, steps_per_epoch=5, batches_per_epoch=5)


class Part:
    """Takes anything, such as a declared name with another meaning."""

    def __init__(self, **settings) -> None:
        self.settings = settings

    def __call__(self, *_):
        return torch.zeros(())


class NoLoss:
    """Nothing to call."""


@pytest.mark.parametrize(
    "words",
    [
        [f"++optimizer={{_target_: {HERE}.Part, lr: 1, gizmo: 3}}"],
        [f"++scheduler={{_target_: {HERE}.Part, pct_start: 7, gamma: -1, mode: x, gizmo: 3}}"],
        [f"+callbacks.mine={{_target_: {HERE}.Part, decay: 7, epochs: -1, gizmo: 3}}"],
        [f"++loss={{_target_: {HERE}.Part, beta: 7, gamma: -1, gizmo: 3}}"],
        [f"++mixing={{_target_: {HERE}.Part, alpha: -1, gizmo: 3}}"],
        [f"++augment={{_target_: {HERE}.Part, crop_scale: 9, gizmo: 3}}"],
        [f"+auxiliary.mine={{_target_: {HERE}.Part, at: {{pool: 1}}, error: l9, gizmo: 3}}"],
        [f"++model={{_target_: {HERE}.Part, name: x, family: mine, variant: 3, gizmo: 3}}"],
        ["+trainer.val_check_interval=0.5"],
    ],
)
def test_settings_of_ones_own_pass(homes, compose_config, words):
    check(compose_config(*words))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([f"++optimizer={{_target_: {HERE}.Part, lr: -1}}"], "optimizer.lr=-1 is not allowed"),
        ([f"++scheduler={{_target_: {HERE}.Part, interval: day}}"], "interval=day does not exist"),
        (
            [f"+callbacks.mine={{_target_: {HERE}.Part, monitor: val/f1, mode: min}}"],
            "callbacks.mine.mode=min does not fit callbacks.mine.monitor=val/f1",
        ),
        (["callbacks=ema", "+callbacks.ema.dekay=0.9"], r"no key callbacks.ema.dekay \(did you m"),
        (["+loss.gama=1"], "no key loss.gama; there are class_weights, beta"),
        (
            [f"++data.source={{_target_: {HERE}.Part}}"],
            f"data.source._target_={HERE}.Part makes no data source: its Part has no is_made, che",
        ),
        (["++data.source={_target_: nowhere.Source}"], "nowhere.Source cannot be built"),
    ],
)
def test_what_this_package_reads_is_checked(homes, compose_config, words, sentence):
    with pytest.raises(USER_ERRORS, match=sentence):
        check(compose_config(*words))


def test_what_is_no_part_is_said_by_its_name(homes, compose_config):
    module = nn.Module()
    module.network = nn.Linear(2, 2)
    cfg = compose_config("mixing=cutmix", "data=synthetic")
    cfg.optimizer._target_ = "builtins.dict"
    cfg.loss = {"_target_": f"{HERE}.NoLoss"}
    with pytest.raises(ConfigError, match=r"^optimizer._target_=builtins.dict makes no optimizer"):
        make_optimizer(module, cfg.optimizer)
    with pytest.raises(ConfigError, match=r"NoLoss makes no loss: its NoLoss has no __call__\.$"):
        build_loss(cfg.loss, class_counts=[1, 2])
    cfg.scheduler = {"_target_": f"{HERE}.Part", "x": 1}
    with pytest.raises(
        ConfigError, match="Part makes no schedule: its Part has no step, state_dict"
    ):
        make_schedule(torch.optim.SGD(module.parameters(), lr=0.1), cfg.scheduler, LENGTH)
    cfg.mixing = {"_target_": "builtins.dict"}
    with pytest.raises(ConfigError, match="mixing._target_=builtins.dict makes no mixing"):
        configured_mixing(cfg, 3)
    cfg.augment = {"_target_": "builtins.dict"}
    with pytest.raises(ConfigError, match="augment._target_=builtins.dict makes no augmentation"):
        make_data(cfg)
    with pytest.raises(ConfigError, match="callbacks.x._target_=builtins.dict makes no callback"):
        build_part({"_target_": "builtins.dict"}, "callback", "callbacks.x", ("on_fit_start",))
    with pytest.raises(ConfigError, match=r"nowhere.Loss cannot be built: No module named 'nowhe"):
        build({"_target_": "nowhere.Loss"})
