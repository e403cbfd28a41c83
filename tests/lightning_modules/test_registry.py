"""Names that were released are found by the paths they had."""

import importlib
from pathlib import Path

import pytest

from lightning_modules.registry import current_path

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
