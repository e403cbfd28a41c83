"""What runs left behind is read; what is damaged becomes a sentence."""

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_directory
from lightning_modules.runs.run_records import find_records, read_record, study_records


def test_a_finished_run(homes, leave):
    run = leave(homes / "run", "model=resnet", "seed=3", f1=0.5, **{"cost/macs": 7})
    record = read_record(run, "run")
    assert record.failure is None
    assert record.metrics == {"val/f1": 0.5, "cost/macs": 7}
    assert record.config["seed"] == 3
    assert record.config["augment"]["image_size"] == "${data.image_size}"
    assert record.choices["model"] == "resnet"
    assert record.finished == (run / "metrics.json").stat().st_mtime


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100000,
        '{"val/f1": 1' + "0" * 400 + "}",
        "[]",
        "{}",
        '{"seed": 1}',
        '{"val/f1": "x"}',
        '{"val/f1": NaN}',
        '{"val/f1": true}',
    ],
)
def test_damaged_metrics(homes, leave, text):
    run = leave(homes / "run")
    (run / "metrics.json").write_text(text)
    record = read_record(run, "run")
    assert record.failure == "its metrics.json cannot be read; it is damaged."
    assert record.metrics == {}
    assert record.config is not None


@pytest.mark.parametrize("text", [b"a: [", b"- a", b"", b"\xff\xfe", b"a: &a {b: *a}", b"a: !!x y"])
def test_damaged_configurations(homes, leave, text):
    run = leave(homes / "run", f1=0.5)
    (run / ".hydra" / "config.yaml").write_bytes(text)
    record = read_record(run, "run")
    assert record.failure == "its .hydra folder cannot be read; it is damaged."
    assert record.config is None


def test_an_unfinished_run_and_one_that_said_why(homes, leave):
    run = leave(homes / "run")
    assert read_record(run, "run").failure == f"it did not finish; continue it with resume={run}."
    (run / "failed.txt").write_text("Out of memory.\n\nTraceback ...\n")
    assert read_record(run, "run").failure == "Out of memory."


def test_a_trial_that_failed_after_its_metrics_is_failed(homes, leave):
    run = leave(homes / "run", f1=0.5)
    (run / "failed.txt").write_text("objective test/f1 was not measured.\n")
    record = read_record(run, "run")
    assert (record.failure, record.metrics) == ("objective test/f1 was not measured.", {})


def test_no_run_at_all(homes):
    assert "it is neither a run" in read_record(homes, "x").failure


def test_a_resumed_run_had_other_epochs(homes, leave):
    run = leave(homes / "run", f1=0.5)
    leave(homes / "other", "trainer.max_epochs=5")
    (homes / "other" / ".hydra").rename(run / ".hydra" / "resume")
    assert read_record(run, "run").config["trainer"]["max_epochs"] == 5


def test_a_teacher_trained_on_the_way_has_no_choices(homes, leave):
    run = leave(homes / "run", "model=resnet", f1=0.5)
    (run / ".hydra" / "hydra.yaml").unlink()
    assert read_record(run, "run").choices == {"model": "resnet", "data": "synthetic"}


def test_runs_and_studies_by_directory_and_name(homes, leave, monkeypatch):
    study = run_directory.outputs_root() / "studies" / "s"
    for number in (10, 2, 0):
        leave(study / "trials" / str(number), f"seed={number}", f1=0.5)
    run = leave(homes / "run", f1=0.5)
    run_directory.update_pointer(run_directory.FINISHED, run)
    names = [record.name for record in study_records(study)]
    assert names == ["trials/0", "trials/2", "trials/10"]
    found = find_records(["s", "last", str(run), f"{study}/trials/2/"])
    assert [record.name for record in found] == [
        "s/trials/0", "s/trials/2", "s/trials/10", "last"
    ]  # fmt: skip
    monkeypatch.chdir(study)
    assert [record.name for record in find_records(["trials/2", "."])] == [
        "trials/2", "./trials/0", "./trials/10"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="neither a run directory nor a study called empty"):
        find_records(["empty"])


def test_an_empty_study_is_said(homes):
    run_directory.make_folder(run_directory.outputs_root() / "studies", "empty")
    (record,) = find_records(["empty"])
    assert "nor a study with trials" in record.failure


def test_a_trial_that_never_began_counts_as_failed(tmp_path, leave):
    leave(tmp_path / "trials" / "0", "seed=0", f1=0.5)
    (tmp_path / "trials" / "1").mkdir()
    (tmp_path / "trials" / "1" / "failed.txt").write_text("its job was cancelled\n")
    (tmp_path / "trials" / "2").mkdir()  # waits for its turn
    records = study_records(tmp_path)
    assert [(record.name, record.failure) for record in records] == [
        ("trials/0", None),
        ("trials/1", "its job was cancelled"),
    ]
