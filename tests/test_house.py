"""The house: rooms by role, a ground floor in each package, and tests that mirror it."""

import ast
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("compression", "datamodules", "lightning_modules")
GROUND_FLOOR = {"__init__", "errors", "files", "registry", "schema"}
FLAT = {
    "compression": {
        "bisection", "context", "engine", "evaluation_mode", "images", "layer_moments",
        "network_copy", "outputs", "recalibration", "recipe", "step", "steps", "structure",
        "target",
    },
    "datamodules": {"typed_words"},
}  # fmt: skip
# Tests of a subject rather than of one module, and what that is.
SUBJECTS = {
    "compression/factorization/test_chains.py": "factorised networks are compressed again",
    "compression/factorization/test_prefer_latency.py": "a key of every factorisation",
    "compression/factorization/test_zoo.py": "many networks",
    "compression/pruning/test_masked_original.py": "pruned networks against a reference",
    "compression/pruning/test_pruned_heads.py": "vision transformers with fewer heads",
    "compression/test_chains.py": "one step after another",
    "compression/test_plain_networks.py": "compress() on what people bring",
    "compression/test_zoo.py": "many networks",
    "datamodules/audit/test_trashnet.py": "real photographs",
    "datamodules/augmentation/test_same_distribution.py": "the backends of each operation",
    "datamodules/decoding/test_reduced_decoding.py": "photographs decoded at a smaller scale",
    "datamodules/sources/coco/test_taco_maps.py": "the class maps that are shipped",
    "datamodules/test_public_names.py": "what a user imports",
    "lightning_modules/experiment/test_ddp.py": "two processes",
    "lightning_modules/networks/blocks/test_records.py": "networks of record written as rows",
    "lightning_modules/networks/blocks/test_round_trip.py": "rows to a network and back",
    "lightning_modules/networks/test_every_network.py": "many networks",
    "lightning_modules/reporting/report/test_browser.py": "the page in a Chromium",
    "lightning_modules/reporting/report/test_contents.py": "all that the page says",
    "lightning_modules/training/losses/test_values.py": "values by hand of every loss",
    "scripts/test_compress_bench.py": "scripts/bench/compress.py",
    "scripts/test_data_aware_bench.py": "scripts/bench/data_aware.py",
}
TESTS = ROOT / "tests"


def rooms(package: str) -> list[Path]:
    """The package's folder and all folders of code below it."""
    return [path.parent for path in sorted((ROOT / package).rglob("__init__.py"))]


def mirrored_tests() -> list[Path]:
    return [file for name in (*PACKAGES, "scripts") for file in (TESTS / name).rglob("test_*.py")]


@pytest.mark.parametrize("package", PACKAGES)
def test_only_the_ground_floor_is_flat(package):
    flat = {file.stem for file in (ROOT / package).glob("*.py")}
    assert flat <= GROUND_FLOOR | FLAT.get(package, set())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_says_what_is_in_it(package):
    for room in rooms(package):
        said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
        assert said, f"{room.relative_to(ROOT)}/__init__.py has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_code_is_a_room(package):
    folders = {file.parent for file in (ROOT / package).rglob("*.py")}
    assert folders == set(rooms(package))


def test_no_arrow_is_excused():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert settings["root_packages"] == list(PACKAGES)
    kinds = {contract["type"] for contract in settings["contracts"]}
    assert kinds == {"layers", "acyclic_siblings"}
    for contract in settings["contracts"]:
        assert not [key for key in contract if key.startswith("ignore")], contract["name"]
        assert "unmatched_ignore_imports_alerting" not in contract


def test_folders_of_tests_are_rooms():
    for file in mirrored_tests():
        folder = file.parent.relative_to(TESTS)
        assert (ROOT / folder).is_dir(), f"tests/{folder} mirrors no folder"


def test_tests_are_named_after_what_exists():
    """After a module of the mirrored room, the room, or a subject that is told above."""
    others = set()
    for file in mirrored_tests():
        room = ROOT / file.parent.relative_to(TESTS)
        modules = {path.stem for path in room.glob("*.py")} - {"__init__"}
        modules |= {path.parent.name for path in room.glob("*/__init__.py")} | {room.name}
        name = file.stem.removeprefix("test_")
        if not any(name == module or name.startswith(f"{module}_") for module in modules):
            others.add(str(file.relative_to(TESTS)))
    assert others == set(SUBJECTS)
