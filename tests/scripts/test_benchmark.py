"""The front, one whole benchmark, and one sentence for each mistake."""

import csv

import pytest
from PIL import Image

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.pictures.tradeoff import Point, front
from tests.conftest import needs_extra, run_command


def test_the_front_is_what_no_other_beats():
    points = [
        Point("slow and good", 9, 0.9), Point("slower, no better", 10, 0.9),
        Point("fast", 1, 0.5), Point("as fast, worse", 1, 0.4), Point("middle", 3, 0.7),
    ]  # fmt: skip
    assert [p.name for p in front(points)] == ["fast", "middle", "slow and good"]


@pytest.mark.slow
@needs_extra("openvino")
@needs_extra("executorch")
def test_one_whole_benchmark(saved, tmp_path, capsys):
    from scripts import benchmark, export

    export.main([str(saved), "format=openvino"])
    file = saved / "export" / "network.xml"
    figure, table = tmp_path / "f.png", tmp_path / "t.csv"
    words = [f"backends={','.join(benchmark.BACKENDS.paths)}", "repeats=3", "batches=1,4"]
    out = ["--figure", str(figure), "--csv", str(table)]
    benchmark.main([str(saved), str(file), *words, *out])
    with table.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = ["eager", "compile", "onnxruntime", "openvino", "executorch", "openvino"]
    assert [row["backend"] for row in rows] == names
    assert [row["network"] for row in rows] == [str(saved)] * 5 + [str(file)]
    assert len({row["f1"] for row in rows}) == 1 and {row["split"] for row in rows} == {"val"}
    assert all(float(row["one_ms"]) > 0 and int(row["peak_bytes"]) > 0 for row in rows)
    assert {row["batch"] for row in rows} <= {"1", "4"}
    assert rows[3]["file_bytes"] == rows[5]["file_bytes"]
    assert Image.open(figure).width > 500
    assert "F1 (val)" in capsys.readouterr().out


def test_a_backend_that_is_not_installed(homes, monkeypatch):
    from lightning_modules import registry
    from scripts import benchmark

    monkeypatch.setattr(registry, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"executorch needs executorch.*'\.\[executorch\]'"):
        benchmark.main(["last", "backends=eager,executorch"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "No run was named"),
        (
            ["last", "backends=tensorrt"],
            "backends=tensorrt does not exist; there are eager, compile",
        ),
        ([__file__], "is neither a run directory nor an exported file"),
        (["last", "repeats=0"], "repeats=0 is not allowed; it must be a number from 1"),
        (["last", "batches=8,x"], r"batches=\[8, 'x'\] is not allowed; .* from 1, as 1,8,64"),
        (["last", "--figure", "a.pdf"], "ends with .png"),
        (["nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes(words, says, homes):
    from scripts import benchmark

    with pytest.raises(ConfigError, match=says):
        benchmark.main([*words, "threads=1"])


@pytest.mark.slow
def test_backends_and_formats_of_ones_own(saved, tmp_path, own_parts):
    file, table = saved / "export" / "network.mine", tmp_path / "t.csv"
    run_command("scripts/export.py", str(saved), "format=mine")
    exported = "{_target_: lightning_modules.deployment.backends.ExportedBackend, format: mine}"
    named = f"backends=[eager,halves,{{_target_: own_parts.halves}},{exported}]"
    words = [str(saved), str(file), named, "format=mine", "repeats=2", "batches=1,3"]
    run_command("scripts/benchmark.py", *words, "--csv", str(table))
    with table.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    labels = ["eager", "halves", "own_parts.halves", exported.split()[1][:-1], "mine"]
    assert [row["backend"] for row in rows] == labels
    assert len({row["f1"] for row in rows}) == 1 and rows[3]["file_bytes"] == rows[4]["file_bytes"]
    assert all(int(row["peak_bytes"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backends=broken"], "backend that own_parts offers cannot be imported: No module"),
        (["backends=eager,{_target_: builtins.dict}"], "builtins.dict is no backend: it has no __"),
        (["backends=[{_target_: own_parts.no_runner}]"], "gave Network; it must give a light.*"),
        (["format=mine"], "format=mine is for files that end with .mine; none was named"),
    ],
)
def test_what_is_no_backend(words, says, saved, own_parts):
    from scripts import benchmark

    with pytest.raises(ConfigError, match=says):
        benchmark.main([str(saved), *words])
