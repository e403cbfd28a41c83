"""A search without Hydra's jobs: the composed multirun, and a launcher that only computes."""

import copy

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import open_dict

from lightning_modules.errors import ConfigError
from lightning_modules.search.storage import find_study
from lightning_modules.search.trial_task import TrialTask
from lightning_modules.search.worker import Worker

COMPOSED = {}  # composing takes half a second
SPACE = [
    "hydra.sweeper.params={}",
    "optimizer.lr=interval(0.0,1.0)",
    "data.batch_size=choice(8,16)",
]


@pytest.fixture
def multirun(homes, compose_config):
    """Composes what `python run.py -m hydra/sweeper=optuna WORDS...` hands to the sweeper."""

    def composed(*words):
        plain = tuple(word for word in words if not is_sweep(word))
        if plain not in COMPOSED:
            COMPOSED[plain] = compose_config("hydra/sweeper=optuna", *plain, hydra=True)
        root = copy.deepcopy(COMPOSED[plain])  # nothing of it was resolved yet
        with open_dict(root):
            root.hydra.overrides.task = [w for w in words if not w.startswith("hydra")]
        return root

    return composed


def is_sweep(word):
    return OverridesParser.create().parse_override(word).is_sweep_override()


class Computer:
    """Launches jobs whose value is a function of their overrides; counts them."""

    def __init__(self, value):
        self.value, self.jobs = value, []

    def launch(self, job_overrides, initial_job_idx):
        found = []
        for words in job_overrides:
            job, given = JobReturn(), dict(word.split("=", 1) for word in words)
            assert given["hydra.sweep.subdir"] == f"trials/{given['trial']}"
            self.jobs.append(given)
            try:
                job.status, job.return_value = JobStatus.COMPLETED, self.value(given)
            except ConfigError as error:
                job.status, job.return_value = JobStatus.FAILED, error
            found.append(job)
        return found


class Jobs(Computer):
    """Launches jobs that tell their trials themselves, as those of a real launcher do."""

    def __init__(self, value, root):
        super().__init__(self._job)
        self.task, self.root = TrialTask(lambda cfg: value(self.jobs[-1])), root

    def _job(self, given):
        cfg = copy.deepcopy(self.root)
        with open_dict(cfg):
            cfg.trial = int(given["trial"])
            cfg.hydra.runtime.output_dir = f"{cfg.hydra.sweep.dir}/{given['hydra.sweep.subdir']}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HydraConfig, "get", lambda: cfg.hydra)
            return self.task(cfg)


@pytest.fixture
def search(multirun, tmp_path):
    """Runs a search and returns its study; `value` of a trial's overrides."""

    def run(value, *words):
        root = rooted(multirun, tmp_path, *words)
        computer = Computer(value)
        Worker(root, computer).work()
        return find_study(tmp_path / "study")[0], computer

    return run


def rooted(multirun, tmp_path, *words):
    """A composed search whose study is in `tmp_path / "study"`."""
    root = multirun(*SPACE, *words)
    (tmp_path / "study").mkdir(exist_ok=True)
    with open_dict(root):
        root.hydra.sweep.dir = str(tmp_path / "study")
    return root
