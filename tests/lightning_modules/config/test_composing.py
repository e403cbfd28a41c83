"""What a multirun's command line sweeps over, and the few trials that show each value once."""

from hydra import compose, initialize_config_dir

from lightning_modules.config.composing import sample_trials, searches, swept_keys
from lightning_modules.runs import run_directory
from lightning_modules.search import study
from tests.conftest import ROOT

WORDS = [
    "seed=0,1,2",
    "model=glob(r*net)",
    "trainer.max_epochs=3",
    "+compression=[],[tucker]",
    "optimizer.lr=interval(0.1,0.2)",
    "data.image_size=[32,48]",
]


def test_each_value_is_seen_once():
    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        parent = compose("config", return_hydra_config=True)
        parent.hydra.overrides.task = WORDS
        trials = list(sample_trials(parent))
        parent.hydra.overrides.task = []
        assert list(sample_trials(parent)) == []
    seen = [(trial.seed, trial.model.name, list(trial.compression)) for trial in trials]
    regnet, resnet = "regnet", "resnet"
    assert seen == [(0, regnet, []), (1, resnet, ["tucker"]), (2, regnet, [])]
    assert all(trial.trainer.max_epochs == 3 for trial in trials)
    assert {trial.optimizer.lr for trial in trials} == {parent.optimizer.lr}


def test_swept_keys_and_searches(compose_config):
    cfg = compose_config(hydra=True)
    cfg.hydra.overrides.task = WORDS
    assert swept_keys(cfg) == ["seed", "model", "compression", "optimizer.lr"]
    assert not searches(cfg)
    assert searches(compose_config("hydra/sweeper=optuna", hydra=True))
