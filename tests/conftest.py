"""What several tests share: a composed configuration, a small image folder, the real data."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from omegaconf import OmegaConf
from PIL import Image

from tests.warm_python import Program, WarmPython

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
COLD = bool(os.environ.get("MODEL_DIET_COLD_TESTS"))  # an interpreter for each program
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores
ENVIRONMENT = dict(os.environ)  # before any test changes it


def needs_shared(*parts: str):
    """Skips a test where the real data does not lie beside the project."""
    path = SHARED.joinpath(*parts)
    return pytest.mark.skipif(not path.exists(), reason=f"../shared/{'/'.join(parts)} is absent")


def needs_extra(name: str):
    """Skips a test where an optional package of this project is not installed."""
    return pytest.mark.skipif(find_spec(name) is None, reason=f"needs the extra [{name}]")


@pytest.fixture(scope="session", autouse=True)
def _each_file_parsed_once():
    with each_file_parsed_once():
        yield


@contextmanager
def each_file_parsed_once():
    """Lets Hydra read a file of conf/ once, for a third of the time of composing goes there."""
    plain, read = ConfigRepository.load_config, {}

    def load_config(repository, config_path):
        file = (ROOT / "conf" / config_path).with_suffix(".yaml")
        if not file.is_file():
            return plain(repository, config_path)
        sources = tuple((source.provider, source.path) for source in repository.get_sources())
        key = (sources, file, file.stat().st_mtime_ns)
        if key not in read:
            read[key] = pickle.dumps(plain(repository, config_path))
        return pickle.loads(read[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_config)
        yield


@pytest.fixture
def compose_config():
    """Composes conf/config.yaml with overrides, in this process."""

    def composed(*overrides: str, hydra: bool = False):
        from lightning_modules.runs import run_directory
        from lightning_modules.search import study

        run_directory.register_resolvers()
        study.register_sweeper_defaults()
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            return compose("config", overrides=list(overrides), return_hydra_config=hydra)

    return composed


def draw_folder(root: Path, *, classes=("blue", "green", "red"), train=12, val=6, size=24) -> Path:
    """An image folder whose classes differ in colour, learnable in an epoch or two."""
    rng = np.random.default_rng(0)
    for split, count in {"train": train, "val": val}.items():
        for position, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[..., position % 3] += 120
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture
def folder(tmp_path):
    """A small image folder with three classes."""
    return draw_folder(tmp_path / "photos")


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Sends outputs, cache and data of this process and its children below tmp_path."""
    for name in ("OUTPUTS", "CACHE", "DATA", "FOUND"):
        monkeypatch.setenv(f"MODEL_DIET_{name}", str(tmp_path / name.lower()))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # left there by its client
    return tmp_path


@pytest.fixture
def leave(compose_config):
    """Leaves a run directory as far as a summary reads it; `metrics.json` where f1 is given."""

    def left(folder, *overrides, f1=None, **figures):
        cfg = compose_config(*overrides, hydra=True)
        choices = {"hydra": {"runtime": {"choices": dict(cfg.hydra.runtime.choices)}}}
        config = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        (folder / ".hydra").mkdir(parents=True)
        OmegaConf.save(OmegaConf.create(choices), folder / ".hydra" / "hydra.yaml")
        OmegaConf.save(config, folder / ".hydra" / "config.yaml")
        if f1 is not None:
            metrics = {"val/f1": f1, "seed": cfg.seed, "kept": "last", **figures}
            (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return left


@pytest.fixture(scope="module")
def browser():
    """A Chromium, where one is installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [browser]")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as started:
        try:
            opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


def start_command(
    *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, cold: bool = False
) -> subprocess.Popen | Program:
    """Starts `python WORDS...` in the repository's root, as a user would type it.

    Args:
        words: A script and its arguments.
        stdout: `subprocess.PIPE` or `subprocess.DEVNULL`.
        stderr: The same, or `subprocess.STDOUT`.
        cold: In an interpreter of its own, though one with the libraries imported is at hand
            (`tests/warm_python.py`).
    """
    if not (cold or COLD) and warm_python().can_start(words, os.environ):
        return warm_python().start(words, os.environ, stdout, stderr)
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run_command(
    *words: str, check: bool = True, cold: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS...` to its end, which is a success unless `check` is false."""
    process = start_command(*words, cold=cold)
    try:
        stdout, stderr = process.communicate(timeout=500)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if check:
        assert process.returncode == 0, f"{stdout}\n{stderr}"
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


@cache
def warm_python() -> WarmPython:
    """The server of this test process; it starts when it is first asked for."""
    return WarmPython(ROOT, ENVIRONMENT)
