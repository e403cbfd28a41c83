"""A study goes on where it stood: n trials in all, finished ones never again, killed ones anew."""

import csv
import json
import multiprocessing
import os
import random
import time

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict
from optuna.trial import TrialState, create_trial

from lightning_modules.errors import ConfigError
from lightning_modules.runs import this_process
from lightning_modules.search import liveness, storage
from lightning_modules.search.identity import identity, study_name
from lightning_modules.search.opened_study import new_trial
from lightning_modules.search.ownership import HEARTBEAT, OWNER, SWEEPER, open_trial
from lightning_modules.search.results import show_results
from lightning_modules.search.storage import find_study, open_study
from lightning_modules.search.trials import PRUNED, RETIRED, records_of
from lightning_modules.search.worker import Worker
from lightning_modules.slurm import JobState, SubmissionError
from tests.lightning_modules.search.conftest import SPACE, Computer


def distance(given):
    return -abs(float(given["optimizer.lr"]) - 0.3)


def test_n_is_the_whole_studys(search, tmp_path, capsys):
    study, first = search(distance, "sweep.n_trials=3")
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].startswith("trial 2  val/f1 ") and "3 of 3  |  best " in shown[-1]
    study, again = search(distance, "sweep.n_trials=3")
    assert len(first.jobs) == 3 and again.jobs == []
    study, more = search(distance, "sweep.n_trials=5")
    assert [job["trial"] for job in more.jobs] == ["3", "4"]
    drawn = [json.dumps(t.params) for t in study.trials]
    assert len(set(drawn)) == 5  # a sampler that began anew would repeat its first draws
    with (tmp_path / "study" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished"] * 5
    assert [float(row["val/f1"]) for row in rows] == [t.value for t in study.trials]
    assert [float(row["optimizer.lr"]) for row in rows] == [
        t.params["optimizer.lr"] for t in study.trials
    ]


def test_draws_follow_from_seed_and_number(search, tmp_path):
    study, _ = search(distance, "sweep.n_trials=11")
    params = [trial.params for trial in study.trials]
    for path in (tmp_path / "study").iterdir():
        path.unlink()
    search(distance, "sweep.n_trials=5")
    study, _ = search(distance, "sweep.n_trials=11")  # beyond the 10 random ones of TPE
    assert [trial.params for trial in study.trials] == params


def leave_running(study, **owner):
    """A trial as a worker leaves it that was killed."""
    attributes = {OWNER: {**this_process(), **owner}}
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attributes))


def test_orphans_are_marked_failed_and_replaced_others_left(search, tmp_path, capsys):
    study, _ = search(distance, "sweep.n_trials=1")
    leave_running(study, start="another")  # 1: killed
    leave_running(study)  # 2: of a living process
    leave_running(study, host="elsewhere")  # 3: nobody here can tell
    leave_running(study, pid=-1, start="gone")  # 4: killed once its run was whole
    leave_running(study, pid=-1, start="gone")  # 5: killed once it had raised
    trials = tmp_path / "study" / "trials"
    for number in (1, 4, 5):
        (trials / str(number)).mkdir(parents=True)
    (trials / "1" / ".last.ckpt.77.part").touch()
    (trials / "4" / "metrics.json").write_text('{"val/f1": 0.25, "cost/macs": 7}')
    (trials / "4" / "stopped.json").write_text('{"epoch": 2}')
    (trials / "5" / "failed.txt").write_text("It diverged.\n")
    study, computer = search(distance, "sweep.n_trials=6")
    assert [job["trial"] for job in computer.jobs] == ["6"]  # for the first one
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "RUNNING", "RUNNING", "COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs[RETIRED] == "its process ended"
    assert "another trial replaces this one" in (trials / "1" / "failed.txt").read_text()
    assert [path.name for path in (trials / "1").iterdir()] == ["failed.txt"]  # nothing partial
    assert (study.trials[4].value, study.trials[5].user_attrs["failure"]) == (0.25, "It diverged.")
    assert study.trials[4].user_attrs[PRUNED] == 2
    study, computer = search(distance, "sweep.n_trials=6", "sweep.mark_failed=[3]")
    assert [job["trial"] for job in computer.jobs] == ["7"]


def test_a_trial_that_raised_counts_and_nan_is_its_own_fault(search, tmp_path, capsys):
    def value(given):
        if given["trial"] == "1":
            raise ConfigError("the loss became nan.")
        return {"0": float("nan"), "2": "no", "3": [1.0, 2.0]}.get(given["trial"], 0.5)

    study, computer = search(value, "sweep.n_trials=5")
    assert len(computer.jobs) == 5
    reasons = [trial.user_attrs.get("failure") for trial in study.trials]
    assert reasons == [
        "the objective val/f1 is nan, which is no finite number.",
        "the loss became nan.",
        "the objective val/f1 is no, which is no finite number.",
        "the trial returned 2 values for 1 objectives.",
        None,
    ]
    show_results(tmp_path / "study")
    assert "4 failed, 1 finished" in capsys.readouterr().out


def test_all_failed_is_a_sentence(search, tmp_path):
    def value(given):
        raise ConfigError(f"no. {given['trial']}")

    search(value, "sweep.n_trials=2")
    with pytest.raises(ConfigError, match=r"All 2 trials failed; the last one: no\. 1"):
        show_results(tmp_path / "study")
    with pytest.raises(ConfigError, match="1 of 1 trials failed, more than sweep.max_failure_rate"):
        search(value, "sweep.n_trials=9", "sweep.max_failure_rate=0.5")


def test_another_study_of_the_same_name_is_refused(search, tmp_path):
    name = "hydra.sweeper.study_name=mine"
    search(distance, name, "sweep.n_trials=1")
    with pytest.raises(ConfigError, match="called mine already, with another space;"):
        search(distance, name, "data.num_workers=choice(0,1)")
    with pytest.raises(ConfigError, match="with another objectives, and other directions"):
        search(distance, name, "objective=val/loss", "sweep.direction=minimize")
    with pytest.raises(ConfigError, match="with another fixed overrides"):
        search(distance, name, "seed=1")
    (tmp_path / "study" / "trials" / "0").mkdir(parents=True)
    (tmp_path / "study" / "study.db").unlink()
    with pytest.raises(ConfigError, match="holds trials, but the storage knows no study"):
        search(distance, name, "sweep.n_trials=1")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////nowhere/study.db", "unable to open database file"),
        ("postgresql://127.0.0.1:1/none", "cannot be used"),
        ("somewhere", "cannot be used"),
    ],
)
def test_unreachable_storage(search, monkeypatch, url, sentence):
    monkeypatch.setattr(storage, "PATIENCE_AT_FIRST", 0.2)  # a server may be starting
    with pytest.raises(ConfigError, match=f"storage {url} cannot be used.*".replace("?", r"\?")):
        search(distance, f"hydra.sweeper.storage={url}")


def test_a_file_for_workers_of_two_hosts_is_said(search, capsys):
    study, _ = search(distance, "sweep.n_trials=1")
    leave_running(study)
    search(distance, "sweep.n_trials=2")
    assert "PostgreSQL" not in capsys.readouterr().out
    leave_running(study, host="elsewhere")
    search(distance, "sweep.n_trials=3")
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "elsewhere" in line]
    assert note.startswith("note     workers on elsewhere use sqlite:///")
    assert note.endswith(
        "study.db, too: a SQLite file may be damaged by several hosts; give them a PostgreSQL "
        "server: hydra.sweeper.storage=postgresql://USER@HOST/DATABASE"
    )


def test_a_worker_that_was_slower_gives_its_trial_back(search, monkeypatch):
    """Between counting and asking another worker takes the last place."""
    real = Worker._begin

    def slow(self):
        if len(self.study.trials) == 1:
            leave_running(self.study)
        return real(self)

    monkeypatch.setattr(Worker, "_begin", slow)
    study, computer = search(distance, "sweep.n_trials=2")
    assert [job["trial"] for job in computer.jobs] == ["0"]
    assert study.trials[2].user_attrs[RETIRED] == "another worker was faster"
    assert [record.number for record in records_of(study)] == [0, 1]  # nothing was done in it


def test_a_host_that_vanished_is_replaced_without_a_word_of_the_user(search, capsys):
    study, _ = search(distance, "sweep.n_trials=1")
    leave_running(study, host="elsewhere")  # 1: silent for long
    attributes = {**study.trials[1].user_attrs, HEARTBEAT: {"beat": 7, "at": time.time() - 3600}}
    new_trial(study, attributes)  # 2: the same, of this version
    study, computer = search(distance, "sweep.n_trials=4", "sweep.silent_minutes=0.01")
    assert [job["trial"] for job in computer.jobs] == ["3", "4"]  # 4 for 2; 1 nobody can judge
    assert study.trials[2].user_attrs[RETIRED] == "silent for 0.01 minutes"
    assert f"waiting  for trial 2: process {os.getpid()} on elsewhere" in capsys.readouterr().out


def test_a_job_without_its_sweeper_is_waited_for(search, monkeypatch, capsys):
    """SLURM's: the search ends once it has told its value."""
    study, _ = search(distance, "sweep.n_trials=1")
    gone = {**this_process(), "start": "earlier"}
    attributes = {OWNER: {**gone, "job": "17"}, SWEEPER: gone}
    begun = new_trial(study, {**attributes, HEARTBEAT: {"beat": 0, "at": time.time()}})
    monkeypatch.setattr(liveness, "job_state", lambda job: JobState.ALIVE)
    looks = []

    def look(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            study.tell(open_trial(study, begun), 0.75)

    monkeypatch.setattr("lightning_modules.search.worker.time.sleep", look)
    study, computer = search(distance, "sweep.n_trials=2")
    assert computer.jobs == [] and study.trials[1].value == 0.75
    said = capsys.readouterr().out
    assert len(looks) == 3 and said.count(f"waiting  for trial 1: job 17 on {gone['host']}") == 1


def test_ctrl_c_keeps_a_run_that_is_whole(search, tmp_path):
    def value(given):
        run = tmp_path / "study" / "trials" / given["trial"]
        run.mkdir(parents=True)
        (run / "metrics.json").write_text('{"val/f1": 0.25}')
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        search(value, "sweep.n_trials=1")
    study, computer = search(distance, "sweep.n_trials=1")
    assert study.trials[0].value == 0.25 and computer.jobs == []


def test_a_launcher_that_fails_fails_its_trial_alone(search, monkeypatch):
    """The process of a pool was killed, or a job was cancelled."""
    plain = Computer.launch

    def launch(self, job_overrides, initial_job_idx):
        if initial_job_idx == 1:
            raise RuntimeError("A worker process was killed.")
        return plain(self, job_overrides, initial_job_idx)

    monkeypatch.setattr(Computer, "launch", launch)
    study, _ = search(distance, "sweep.n_trials=3")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    reason = "its job failed: RuntimeError: A worker process was killed."
    assert study.trials[1].user_attrs["failure"] == reason


def test_a_full_disk_ends_the_search_and_no_trial_is_lost_to_it(search):
    def value(given):
        if given["trial"] != "1":
            return distance(given)
        raise ConfigError("trials/1/model: No space left on device; free some space.")

    grid = ["sweep.sampler=grid", "optimizer.lr=choice(0.1,0.2,0.3)", "data.batch_size=choice(8)"]
    words = r"Trial 1 could not go on, and no other could: trials/1/model: No space left on device;"
    with pytest.raises(ConfigError, match=rf"^{words} .*The same command continues the study"):
        search(value, *grid)
    study, computer = search(distance, *grid)
    assert [job["optimizer.lr"] for job in computer.jobs] == ["0.2", "0.3"]
    counted = [trial for trial in study.trials if RETIRED not in trial.user_attrs]
    assert [trial.state.name for trial in counted] == ["COMPLETE"] * 3


def test_a_trial_killed_in_its_end_is_brought_to_it(search, tmp_path):
    study, _ = search(distance, "sweep.n_trials=1")
    leave_running(study, pid=-1, start="gone")  # 1: nothing was measured
    for number in (2, 3):
        leave_running(study, pid=-1, start="gone")
        run = tmp_path / "study" / "trials" / str(number)
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "overrides.yaml").write_text(
            f"- optimizer.lr=0.{number}\n- trial={number}\n"
        )
        metrics = {"val/f1": 0.25, "missing": {"card": "the run was ended before it"}}
        (run / "metrics.json").write_text(json.dumps(metrics))
    study, computer = search(distance, "sweep.n_trials=4")
    assert [job["trial"] for job in computer.jobs] == ["2", "3", "4"]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"] + ["COMPLETE"] * 3
    assert [trial.value for trial in study.trials[2:4]] == [
        distance({"optimizer.lr": lr}) for lr in (0.2, 0.3)
    ]
    assert study.trials[2].user_attrs[OWNER]["pid"] == os.getpid()


def test_a_cluster_that_takes_no_jobs_ends_the_search(search, monkeypatch):
    def launch(self, job_overrides, initial_job_idx):
        raise SubmissionError("There is no partition gpus.")

    monkeypatch.setattr(Computer, "launch", launch)
    with pytest.raises(SubmissionError):
        search(distance, "sweep.n_trials=3")
    monkeypatch.undo()
    study, computer = search(distance, "sweep.n_trials=1")
    assert study.trials[0].user_attrs[RETIRED] == "There is no partition gpus."
    assert [job["trial"] for job in computer.jobs] == ["1"]


def test_ctrl_c_marks_failed_what_was_at_work(search, tmp_path):
    def value(given):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="the same command continues the study"):
        search(value, "sweep.n_trials=2")
    study, computer = search(distance, "sweep.n_trials=2")
    assert study.trials[0].user_attrs[RETIRED] == "interrupted"
    assert [job["trial"] for job in computer.jobs] == ["1", "2"]


@pytest.mark.slow
def test_five_kills_lose_nothing_and_repeat_nothing(search, tmp_path):
    def value(given):
        time.sleep(0.05)
        return distance(given)

    draws, finished = random.Random(0), {}
    for _ in range(5):
        child = multiprocessing.get_context("fork").Process(
            target=search, args=(value, "sweep.n_trials=25")
        )
        before = table(tmp_path / "study")
        child.start()
        while child.is_alive() and table(tmp_path / "study") == before:
            time.sleep(0.01)  # until it has finished a trial of its own
        child.join(draws.uniform(0, 0.3))
        child.kill()  # SIGKILL, wherever it was
        child.join()
        if (tmp_path / "study" / "study.json").is_file():
            found = find_study(tmp_path / "study")[0]
            now = {t.number: (t.value, t.params) for t in found.trials if t.value is not None}
            assert finished.items() <= now.items()
            finished = now
    study, _ = search(value, "sweep.n_trials=25")
    complete = {t.number: (t.value, t.params) for t in study.trials if t.value is not None}
    assert len(complete) == 25 and finished.items() <= complete.items()
    assert all(RETIRED in t.user_attrs for t in study.trials if t.number not in complete)
    assert len(study.trials) <= 30  # a kill costs one trial at most


def table(folder):
    path = folder / "trials.csv"
    return path.read_text() if path.is_file() else ""


def test_a_grid_has_every_point_once_also_after_a_kill(search):
    words = ["sweep.sampler=grid", "optimizer.lr=choice(0.1)", "seed=range(0,2)"]

    def value(given):
        if given["trial"] == "1":
            raise KeyboardInterrupt
        return 0.5

    with pytest.raises(SystemExit):
        search(value, *words)
    study, _ = search(value, *words)
    points = [t.params for t in study.trials if RETIRED not in t.user_attrs]
    assert len(points) == 6 == len({json.dumps(p) for p in points})
    assert {p["seed"] for p in points} == {0, 1, 2}


def test_batches_and_several_objectives(search):
    def value(given):
        lr = float(given["optimizer.lr"])
        return [lr, 1 - lr]

    two = ["objective=[val/f1,cost/macs]", "sweep.direction=[maximize,minimize]"]
    study, computer = search(value, *two, "sweep.parallel=2", "sweep.n_trials=3")
    assert [t.values for t in study.trials] == [value(job) for job in computer.jobs]
    assert len(computer.jobs) == 3


def test_workers_that_begin_a_study_at_the_same_moment(search, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)

    def begin():
        barrier.wait()
        search(distance, "sweep.n_trials=8")

    workers = [context.Process(target=begin) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    study, _ = find_study(tmp_path / "study")
    counted = [trial for trial in study.trials if RETIRED not in trial.user_attrs]
    assert [trial.state.name for trial in counted] == ["COMPLETE"] * 8


def test_a_study_begun_with_former_keys_is_not_begun_anew(multirun, homes):
    root = multirun(*SPACE, "data.resize_mode=pad")
    studies = homes / "outputs" / "studies"
    with open_dict(root):
        root.hydra.sweep.dir = str(studies / study_name(root))
    about = json.loads(json.dumps(identity(root)))
    about["fixed overrides"] = ["data.fit=pad"]
    for name in ("begun_before", study_name(root)):
        (studies / name).mkdir(parents=True)
    (studies / "begun_before" / "study.json").write_text(json.dumps({"name": "before", **about}))
    with pytest.raises(ConfigError, match="begun_before is this search, begun when some keys had"):
        open_study(root)
    root.hydra.sweeper.study_name = "anew"
    assert open_study(root).study_name == "anew"


FEW = ["optimizer.lr=choice(0.1)", "data.batch_size=choice(8)"]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "evolution", "nsgaii"])
def test_quoted_texts_stay_texts_in_every_sampler_also_after_a_reload(search, sampler):
    words = [*FEW, f"sweep.sampler={sampler}", "seed=0,1"]
    space = "card.license=choice('ok','nan','1e3','true','null')"
    for count in (4, 10):
        study, computer = search(lambda given: 0.5, *words, space, f"sweep.n_trials={count}")
        for job in computer.jobs:
            value = parsed(f"card.license={job['card.license']}")
            assert isinstance(value, str) and value in ("ok", "nan", "1e3", "true", "null")
    if sampler == "grid":
        points = {(trial.params["card.license"], trial.params["seed"]) for trial in study.trials}
        assert len(points) == 10 == len(study.trials)


def test_a_grid_of_a_number_that_equals_nothing_ends(search):
    words = [*FEW, "sweep.sampler=grid", "seed=0"]
    study, _ = search(lambda given: 0.5, *words, "card.license=choice(nan,1,true)")
    assert len(study.trials) == 3


def parsed(word):
    return OverridesParser.create().parse_override(word).value()
