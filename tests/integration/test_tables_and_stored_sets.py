"""A table, Parquet files and idx files, trained on and evaluated as a user types it."""

import csv
import json

import pytest

from tests.conftest import SHARED, needs_extra, needs_shared, run_command
from tests.datamodules.sources.test_fashion_mnist import CONTENT

QUICK = ("trainer.max_epochs=1", "logger=none", "report=false", "pictures=false",
         "latency.backend=null", "data.image_size=32", "data.batch_size=8")  # fmt: skip


def newest(homes):
    (run,) = homes.glob("outputs/*/*_shufflenet_g3_*")
    return run


@pytest.fixture
def stored(folder, homes):
    """The folder's images as a table and as Parquet files."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    (homes / "stored").mkdir()
    paths = sorted(folder.rglob("*.png"))
    with (homes / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "kind", "set"])
        for path in paths:
            split = "Training" if path.parts[-3] == "train" else "valid"
            rows.writerow([path.relative_to(homes), path.parent.name.upper(), split])
    for split in ("train", "val"):
        of = [path for path in paths if path.parts[-3] == split]
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in of]
        labels = [path.parent.name.upper() for path in of]
        table = pa.table({"image": images, "label": labels})
        pq.write_table(table, homes / "stored" / f"{split}-00000-of-00001.parquet")
    return homes


@pytest.mark.slow
@needs_extra("pyarrow")
def test_a_table_is_trained_on_and_parquet_files_are_evaluated(stored, homes):
    said = run_command("run.py", "data=csv", f"data.root={homes / 'labels.csv'}", *QUICK).stdout
    assert "classes   3: BLUE, GREEN, RED" in said
    assert "images    BLUE 18, GREEN 18, RED 18; train 36, val 18" in said
    assert "labels.csv has images in 'file', classes in 'kind', splits in 'set'" in said
    run = newest(homes)
    found = run_command(
        "scripts/evaluate.py", str(run), "data=huggingface", f"data.root={homes / 'stored'}"
    ).stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{metrics['val/f1']:.4f}" in found and " 18 " in found
    assert list((homes / "cache" / "unpacked").glob("huggingface_*/val/*.png"))


@pytest.mark.slow
@needs_extra("pyarrow")
def test_parquet_files_are_trained_on_as_the_table_is(stored, homes):
    for data, root in (("csv", "labels.csv"), ("huggingface", "stored")):
        run_command("run.py", f"data={data}", f"data.root={homes / root}", *QUICK)
    one, other = (
        json.loads((run / "metrics.json").read_text())["val/loss"]
        for run in homes.glob("outputs/*/*_shufflenet_g3_*")
    )
    assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
def test_idx_files_are_trained_on(homes):
    root = homes / "mnist"
    root.mkdir()
    for name, content in CONTENT.items():
        (root / name).write_bytes(content)
    said = run_command("run.py", "data=fashion_mnist", f"data.root={root}", *QUICK).stdout
    assert "classes   10: T-shirt/top, Trouser, Pullover" in said
    assert "test 20 of t10k-images-idx3-ubyte" in said
    assert json.loads((newest(homes) / "metrics.json").read_text())["test/f1"] >= 0


@pytest.mark.slow
@needs_shared("data", "fashion_mnist")
def test_fashion_mnist_with_one_command(homes):
    root = SHARED / "data" / "fashion_mnist"
    run_command(
        "run.py", "data=fashion_mnist", f"data.root={root}", "trainer.max_epochs=1", "logger=none"
    )
    metrics = json.loads((newest(homes) / "metrics.json").read_text())
    assert metrics["val/f1"] > 0.6 and metrics["test/f1"] > 0.6


def test_a_name_of_the_hub_is_refused_at_once(homes):
    refused = run_command("run.py", "data=huggingface", "data.root=cifar10", check=False)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert "data.root=cifar10 is no file or folder here" in refused.stderr
    assert not (homes / "outputs").exists()
