"""`hydra/launcher=submitit_slurm`, composed."""

import pytest

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra [slurm]")

from lightning_modules.slurm import register_launcher_defaults


def test_the_launcher_is_ours(compose_config):
    register_launcher_defaults()
    node = compose_config("hydra/launcher=submitit_slurm", hydra=True).hydra.launcher
    assert node._target_ == "hydra_plugins.model_diet.RunLauncher"
    assert (node.max_num_timeout, node.max_pending_min, node.max_silent_min) == (3, 10080, 30)
    assert node.partition is None
