"""Names that were released are found by the paths they had; plain networks load little."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_modules import registry
from lightning_modules.registry import current_path
from tests.conftest import ROOT

EXTRAS = {"executorch", "gradio", "torchao", "openvino"}  # what may be missing here
PATHS = (Path(__file__).parents[1] / "fixtures" / "module_paths.txt").read_text().split()


def imported(module: str):
    """The module, or None where it needs an extra that is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] in EXTRAS:
            return None
        raise


def test_every_earlier_path_leads_to_what_there_is_now():
    missing = []
    for path in PATHS:
        module, _, name = path.partition(":")
        found = imported(module)
        if found is None or name in ("", "Any", "import_module"):  # the last two only imported
            continue
        home, _, attribute = current_path(f"{module}.{name}").rpartition(".")
        if getattr(found, name, None) is not getattr(imported(home), attribute, "missing"):
            missing.append(path)
    assert not missing


def test_a_name_that_never_was_is_missing():
    from lightning_modules import evaluation
    from lightning_modules.distillation import feature_term

    for module in (evaluation, feature_term):
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing


def test_the_table_names_what_exists():
    known = registry.table()
    for module in known["modules"].values():
        assert importlib.util.find_spec(module), module
    for group in {path.partition("/")[0] for path in known["options"]}:
        for former, present in known["options"].items():
            if former.startswith(f"{group}/"):
                assert (ROOT / "conf" / f"{present}.yaml").is_file(), present
                assert not (ROOT / "conf" / f"{former}.yaml").exists(), former


def test_former_names_of_a_module_that_stayed(monkeypatch):
    known = registry.table()
    names = {**known["names"], "json.read": "json.loads", "json.decoder.gone": "json.dumps"}
    monkeypatch.setattr(registry, "table", lambda: {**known, "names": names})
    import json

    before = dict(vars(json))
    registry._follow_names(json, before.get("__getattr__"))
    try:
        assert json.read is json.loads
        with pytest.raises(AttributeError, match="module 'json' has no attribute 'nothing'"):
            json.nothing  # noqa: B018
    finally:
        del json.__getattr__


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            "from lightning_modules import load_network, build_network", marks=pytest.mark.slow
        ),
        pytest.param(
            "from lightning_modules.networks import build_network, load_network",
            marks=pytest.mark.slow,
        ),
        "from lightning_modules import load_network; load_network(sys.argv[1])",
    ],
)
def test_plain_networks_load_neither_lightning_nor_hydra(code):
    run = ROOT / "tests" / "fixtures" / "runs" / "pruned_factorized"
    code = (
        f"import sys; {code}; from compression import compress\n"
        "heavy = {'hydra', 'pytorch_lightning', 'lightning', 'optuna', 'albumentations'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, cwd=ROOT)
