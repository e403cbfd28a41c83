"""Jobs handed to an `sbatch` that the tests write."""

import re

import pytest

from lightning_modules.slurm import SubmissionError, submission
from lightning_modules.slurm.submission import ROOT, submit

pytest.importorskip("submitit", reason="needs the extra [slurm]")

AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller\n"


@pytest.fixture
def slurm(programs):
    for name in ("squeue", "scancel", "scontrol", "srun"):
        programs(name)
    programs("sbatch", "Submitted batch job 17\n")
    return programs


def settings(folder, **more):
    return {
        "submitit_folder": f"{folder}/.submitit/%j", "max_num_timeout": 3, "timeout_min": 5,
        "name": "run", "signal_delay_s": 7, "partition": "gpu", "setup": None,
        "additional_parameters": {}, **more,
    }  # fmt: skip


def flags(folder):
    (script,) = folder.glob(".submitit/*/*_submission.sh")
    return script.read_text().splitlines()


def test_one_job(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/own")
    assert submit(print, [(1,)], settings(tmp_path), 0) == ["17"]
    lines = flags(tmp_path)
    for line in (
        "#SBATCH --requeue", "#SBATCH --partition=gpu", "#SBATCH --time=5",
        "#SBATCH --signal=USR2@7", f"export PYTHONPATH={ROOT}:/own",
    ):  # fmt: skip
        assert line in lines


def test_several_jobs_are_one_array(slurm, tmp_path):
    own = {"setup": ["module load cuda"], "additional_parameters": {"begin": "22:00"}}
    assert submit(print, [(1,), (2,)], settings(tmp_path, **own), 0) == ["17_0", "17_1"]
    assert len(slurm.said()) == 1
    lines = flags(tmp_path)
    for line in ("#SBATCH --array=0-1%2", "#SBATCH --begin=22:00", "module load cuda"):
        assert line in lines


def test_a_refusal_is_one_sentence(slurm, tmp_path, capsys):
    reasons = ("invalid partition specified: gpu", "Batch job submission failed: Invalid partition")
    slurm("sbatch", "", "".join(f"sbatch: error: {reason}\n" for reason in reasons), 1)
    with pytest.raises(SubmissionError) as found:
        submit(print, [(1,)], settings(tmp_path), 1000)
    assert str(found.value) == f"SLURM takes no jobs: {'; '.join(reasons)}."
    assert capsys.readouterr().err == ""


def test_it_tries_on_while_the_controller_is_away(slurm, tmp_path, monkeypatch):
    slurm("sbatch", "", AWAY, 1)
    said = []

    def warning(line, *words):
        said.append(line % words)
        if len(said) == 3:
            slurm("sbatch", "Submitted batch job 18\n")

    monkeypatch.setattr(submission, "PAUSE", 0.01)
    monkeypatch.setattr(submission.log, "warning", warning)
    assert submit(print, [(1,)], settings(tmp_path), 1000) == ["18"]
    reason = AWAY.removeprefix("sbatch: error: ").strip()
    assert said == [f"SLURM takes no jobs for now, trying on: {reason}"] * 3
    slurm("sbatch", "", AWAY, 1)
    with pytest.raises(
        SubmissionError, match=r"takes no jobs: .*Unable to contact slurm controlle"
    ):
        submit(print, [(1,)], settings(tmp_path), 0)


def test_no_slurm_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SubmissionError, match=re.escape("needs SLURM's commands (sbatch, squeue,")):
        submit(print, [(1,)], settings(tmp_path), 0)
