"""From a cross-validation to its likely wrong labels, a list of them, and training without them."""

import csv
import shutil

import pytest

from tests.conftest import draw_folder, needs_extra, run_command
from tests.integration.test_commands import SMALL


@pytest.mark.slow
@needs_extra("cleanlab")
def test_planted_wrong_labels_are_found_shown_and_left_out(homes):
    folder = draw_folder(homes / "drawn", train=20, val=10, size=32)
    names = ("blue", "green", "red")
    wrong = []
    for given, true in zip(names, names[1:] + names[:1], strict=True):
        source = folder / "train" / true / "19.png"
        wrong.append(f"train/{given}/was_{true}.png")
        source.rename(folder / wrong[-1])
    shutil.copy(folder / "val" / "red" / "0.png", folder / "train" / "red" / "copy.png")
    root = f"data.root={folder}"
    run_command(
        "run.py", "-m", *SMALL, root, "data.fold=0,1,2", "data.num_folds=3",
        "trainer.max_epochs=25", "data.batch_size=16", "model=blocks/diet_found", "augment=none",
        "optimizer.lr=1e-2", "pictures=false",
    )  # fmt: skip
    (study,) = (homes / "outputs" / "studies").iterdir()
    listed = homes / "list.csv"
    done = run_command(
        "scripts/audit_data.py", str(study), f"exclude={listed}", "reasons=labels,leakage"
    )
    assert "of 91 checked" in done.stdout
    with (study / "audit" / "labels.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert {*wrong} <= {row["path"] for row in found[:6]}
    assert all(row["suggested"] in row["path"] for row in found if row["path"] in wrong)
    assert "train/red/copy.png" in listed.read_text()
    run_command("scripts/report.py", str(study))
    page = (study / "report.html").read_text()
    assert "Likely wrong labels" in page and wrong[0] in page
    after = run_command("run.py", *SMALL, root, f"data.exclude={listed}", "trainer.max_epochs=1")
    assert f"{len(found) + 1} listed in list.csv" in after.stdout + after.stderr
