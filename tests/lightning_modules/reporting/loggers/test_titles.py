"""What a person calls a run."""

from hydra.types import RunMode
from omegaconf import OmegaConf

from lightning_modules.reporting.loggers.titles import run_title


def title(*, mode=RunMode.RUN, compression=(), data=None, seed=0):
    hydra = {
        "runtime": {"choices": {"model": "blocks/x", "data": "trashnet"}},
        "mode": mode, "job": {"num": 12}, "sweep": {"dir": "outputs/studies/a_study"},
    }  # fmt: skip
    cfg = {"compression": dict.fromkeys(compression, 1), "data": data or {}, "seed": seed}
    return run_title(OmegaConf.create(cfg), OmegaConf.create(hydra))


def test_names_and_groups_that_a_person_can_read():
    assert title() == ("blocks-x_trashnet_seed0", "blocks-x_trashnet")
    name, group = title(compression=["prune", "tucker"], data={"fold": 3}, seed=1)
    assert name == "blocks-x_trashnet_prune_tucker_seed1_fold3"
    assert group == "blocks-x_trashnet"
    assert title(mode=RunMode.MULTIRUN) == ("blocks-x_trashnet_seed0_trial12", "a_study")
