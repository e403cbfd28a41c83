"""Code of one's own in a saved network: refused by name, and run where the command trusts it."""

import os
import re
import shlex

import pytest

from tests.conftest import draw_folder, run_command
from tests.test_outside import OUTSIDE

SMALL = [
    "data=image_folder", "data.image_size=16", "data.batch_size=6", "trainer.max_epochs=1",
    "trainer.memory_format=contiguous", "logger=none", "latency.backend=null", "pictures=false",
    "report=false",
]  # fmt: skip
OWN = "model._target_=newcomer.backbone.Plain"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """A run of an outside package's network, and words that name its data."""
    home = tmp_path_factory.mktemp("trust")
    photos = draw_folder(home / "photos", train=4, val=2, size=16)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OUTPUTS", "CACHE", "DATA"):
            patch.setenv(f"MODEL_DIET_{name}", str(home / name.lower()))
        paths = [str(OUTSIDE), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        run_command("run.py", *SMALL, OWN, f"data.root={photos}", f"hydra.run.dir={home}/run")
        yield home / "run", [*SMALL, f"data.root={photos}"]


def trusted(*words):
    """Runs a command, which is refused, again with the very words that the refusal names."""
    refused = run_command(*words, check=False)
    said = refused.stderr.splitlines()[-1]
    assert refused.returncode == 1 and "Traceback" not in refused.stderr, refused.stderr
    assert "newcomer.backbone.Plain" in said
    named = re.search(r"'trust=\[newcomer\]'", said)
    assert named, said
    return run_command(*words, *shlex.split(named[0]))


@pytest.mark.slow
def test_a_teacher_of_ones_own(own_run):
    run, words = own_run
    teacher = [f"+teacher.t.run={run}", "model.units=[1,1,1]"]
    trusted("run.py", *words, *teacher, f"hydra.run.dir={run.parent}/taught")
    assert (run.parent / "taught" / "model" / "network.yaml").is_file()


@pytest.mark.slow
def test_a_command_that_names_the_package_itself_needs_no_more(own_run):
    run, words = own_run
    teacher = [f"+teacher.t.run={run}", OWN]
    run_command("run.py", *words, *teacher, f"hydra.run.dir={run.parent}/named")
    node = [f"+teacher.t.model={{_target_: {OWN.partition('=')[2]}, name: plain}}"]
    run_command(
        "run.py", *words, f"+teacher.t.run={run}", *node, f"hydra.run.dir={run.parent}/node"
    )


@pytest.mark.slow
def test_every_command_says_what_it_needs(own_run):
    run, words = own_run
    photo = next((run.parent / "photos" / "val").glob("*/*.png"))
    pruned = ["+compression=prune", "compression.prune.fine_tuning.epochs=0"]
    quiet = [word for word in words if not word.startswith("data")]
    trusted("run.py", f"from_run={run}", *pruned, *quiet, f"hydra.run.dir={run.parent}/pruned")
    trusted("scripts/evaluate.py", str(run))
    trusted("scripts/describe.py", str(run))
    trusted("scripts/export.py", str(run), "format=onnx")
    trusted("scripts/predict.py", str(run), str(photo), "--out", f"{run.parent}/out.csv")
    trusted("scripts/sensitivity.py", str(run), "step=prune", "ratios=[0.5]")
    trusted("scripts/benchmark.py", str(run), "backends=[eager]", "repeats=3", "batches=[1]")
    page = ["scripts/report.py", str(run), "--html", f"{run.parent}/page.html"]
    run_command(*page)
    left_out = (run.parent / "page.html").read_text()
    assert "add &#39;trust=[newcomer]&#39; to the command" in left_out
    run_command(*page, "trust=[newcomer]")
    assert "trust=[newcomer]" not in (run.parent / "page.html").read_text().split("Load and")[0]


@pytest.mark.slow
def test_a_resumed_run_is_trusted_as_its_command_was(own_run):
    run, _ = own_run
    for name in ("metrics.json", "model"):
        (run / name).rename(run / f"old_{name}")
    run_command("run.py", f"resume={run}", "trust=[newcomer]")
    assert (run / "model" / "network.yaml").is_file()
