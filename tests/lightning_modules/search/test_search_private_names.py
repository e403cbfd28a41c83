"""Searches live on Optuna's public API; what is private there may change with any release."""

import ast
import importlib
import inspect

import pytest

from tests.conftest import ROOT

MODULES = sorted((ROOT / "lightning_modules" / "search").glob("[!_]*.py"))
# The one name of Optuna that has no public door, and one of Hydra, whose public name also prints.
ALLOWED = {("ownership", "_trial_id"), ("worker", "_return_value")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_private_name_of_a_library(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found.add((path.stem, node.attr))
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(one.name for one in node.names)]
            found |= {(path.stem, name) for name in names if _is_private(name)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert "optuna_sweeper._impl" not in node.value
    assert found <= ALLOWED


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_private_method_of_optuna_is_overridden_or_used(path):
    module = importlib.import_module(f"lightning_modules.search.{path.stem}")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ != module.__name__:
            continue
        theirs = {
            name
            for base in kind.__mro__
            if base.__module__.startswith("optuna.")
            for name in vars(base)
            if _is_private(name) and not name.startswith("_abc_")
        }
        assert not theirs & set(vars(kind)), kind
        assert not theirs & set(_attributes(inspect.getsource(kind))), kind


def _attributes(source):
    return [node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]


def _is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_target_"
