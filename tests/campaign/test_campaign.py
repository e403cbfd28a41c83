"""A short campaign, and what the campaign itself must not get wrong."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from tests.campaign import table
from tests.campaign.commands import Commands
from tests.campaign.home import Home, can_mount
from tests.campaign.kinds import KINDS
from tests.campaign.order import Order, Row
from tests.campaign.outcome import differences, outcome
from tests.campaign.scenarios import SCENARIOS
from tests.conftest import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks from a warm process")
FILES = {
    "run/metrics.csv": "epoch,val/f1,seconds\n0,0.5,1.25\n1,0.75,1.5\n",
    "run/metrics.json": json.dumps({"val/f1": 0.75, "cost/latency_ms": 3, "steps": [{"epoch": 1}]}),
    "run/card.md": "# run\nload_network(HOME/run)\n| latency_ms | 3 |\n",
    "run/model/weights.safetensors": "weights",
    "run/report.html": "<p>1.25 s</p>",
    "run/run.log": "12:00",
    "study/trials/0/metrics.json": "{}",
    "study/trials/0/.hydra/overrides.yaml": "- lr=1\n- trial=0\n",
}


def leave(root, **changed):
    for name, text in {**FILES, **changed}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text.replace("HOME", str(root)))
    return outcome(root)


def test_times_and_places_make_no_difference(tmp_path):
    other = {
        "run/metrics.csv": FILES["run/metrics.csv"].replace("1.25", "9"),
        "run/metrics.json": FILES["run/metrics.json"].replace("3", "4"),
        "run/card.md": FILES["run/card.md"].replace("3", "4"),
        "run/report.html": "<p>9 s</p>",
        "run/run.log": "13:00",
        "study/trials/0/metrics.json": None,  # replaced by
        "study/trials/2/metrics.json": "{}",
        "study/trials/2/.hydra/overrides.yaml": "- trial=2\n- lr=1\n",
    }
    expected = leave(tmp_path / "one")
    assert differences(leave(tmp_path / "other", **other), expected) == ([], [])


@pytest.mark.parametrize(
    ("name", "text", "lost", "unequal"),
    [
        ("run/metrics.csv", "epoch,val/f1\n0,0.5\n", ["run/metrics.csv rows"], ["run/metrics.csv"]),
        ("run/metrics.csv", "epoch,val/f1\n0,0.5\n1,0.7\n", [], ["run/metrics.csv"]),
        ("run/metrics.json", '{"val/f1": 0.5}', [], ["run/metrics.json"]),
        ("run/model/weights.safetensors", "weightz", [], ["run/model/weights.safetensors"]),
        ("run/card.md", None, ["run/card.md"], []),
        ("run/report.html", None, ["run/report.html"], []),
    ],
)
def test_a_difference_is_found(tmp_path, name, text, lost, unequal):
    expected = leave(tmp_path / "one")
    assert differences(leave(tmp_path / "other", **{name: text}), expected) == (lost, unequal)


def test_the_trials_of_a_study_are_compared_without_their_numbers(tmp_path):
    found = []
    for numbers, value in (((1, 2), 0.5), ((2, 4), 0.5), ((1, 2), 0.6), ((1,), 0.5)):
        (tmp_path / f"{len(found)}").mkdir()
        with sqlite3.connect(tmp_path / f"{len(found)}" / "study.db") as connection:
            connection.execute("create table trials (trial_id, state)")
            connection.execute("create table trial_values (trial_id, value)")
            connection.execute("create table trial_params (trial_id, param_name, param_value)")
            for trial in numbers:
                kept = trial // numbers[0]
                connection.execute("insert into trials values (?, 'COMPLETE')", [trial])
                connection.execute("insert into trial_values values (?, ?)", [trial, value])
                connection.execute("insert into trial_params values (?, 'lr', ?)", [trial, kept])
        connection.close()
        found.append(outcome(tmp_path / f"{len(found)}"))
    assert differences(found[1], found[0]) == ([], [])
    assert differences(found[2], found[0]) == ([], ["study.db"])
    assert differences(found[3], found[0]) == (["study.db rows"], ["study.db"])


def test_the_table_names_each_scenario_kind_and_what_went_wrong(tmp_path):
    rows = [
        Row(0, 1, "audit", 0, 0, "KILL", processor=1),
        Row(0, 2, "audit", 0, 0, "TERM", processor=1),
        Row(1, 1, "export", 0, 2, "KILL", lost="card.md", processor=4),
    ]
    table.add(tmp_path / "kills.csv", rows[:2])
    table.add(tmp_path / "kills.csv", rows[2:])
    lines = table.markdown(table.read(tmp_path / "kills.csv")).splitlines()
    assert lines[0] == f"| scenario | workers | {' | '.join(KINDS)} | all | lost | unequal |"
    assert lines[2] == "| audit | 0 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 0 | 0 |"
    assert lines[3] == "| export | 2 | 1 (**1**) | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 1 | 0 |"
    assert lines[4].startswith("| all | 0, 2 | 2 (**1**) | 1 |") and lines[4].endswith(
        "| 3 | 1 | 0 |"
    )
    assert table.summary(table.read(tmp_path / "kills.csv")) == (
        "3 kills, 1 lost, 0 unequal; 2 runs, 2.00 processor seconds a kill, 0 tracebacks"
    )


def test_the_page_holds_the_table_of_the_record(tmp_path):
    (tmp_path / "page.md").write_text(f"Before.\n{table.BEGIN}\nold\n{table.END}\nAfter.\n")
    table.add(tmp_path / "kills.csv", [Row(0, 1, "audit", 0, 0, "KILL")])
    rows = table.read(tmp_path / "kills.csv")
    for _ in range(2):
        table.write(tmp_path / "page.md", rows)
        lines = (tmp_path / "page.md").read_text().splitlines()
        assert lines[:2] == ["Before.", table.BEGIN] and lines[-2:] == [table.END, "After."]
        assert lines[2:-2] == [table.summary(rows), "", *table.markdown(rows).splitlines()]


def order_in(work, scenario=0):
    return Order(scenario, 0, scenario, list(KINDS), str(work), "IMAGES", disk=False)


def test_a_run_is_resumed_once_there_is_something_to_resume(tmp_path):
    commands = Commands(order_in(tmp_path), Home(tmp_path / "home", disk=False), workers=2)
    assert "data.num_workers=2" in commands.next and "data.root=IMAGES/few" in commands.next
    typed = tmp_path / "home" / "run" / ".hydra" / "overrides.yaml"
    typed.parent.mkdir(parents=True)
    typed.touch()  # killed before it was written
    assert commands.next == commands.first
    typed.write_text("- seed=0\n")
    assert commands.next == ["run.py", f"resume={tmp_path}/home/run"]


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes file systems")
def test_a_home_can_be_full_and_have_room_again(tmp_path):
    if not can_mount(tmp_path / "tried"):
        pytest.skip("no file system can be made here")
    with Home(tmp_path / "home", disk=True) as home:
        (home.root / "before").write_bytes(bytes(100_000))
        assert home.fill(os.getpid(), 0) == "tmpfs"
        with pytest.raises(OSError, match="No space left"):
            (home.root / "after").write_bytes(bytes(100_000))
        home.make_room()
        (home.root / "after").write_bytes(bytes(100_000))
    assert not home.root.exists()


PROGRAM = """
import sys, time
from pathlib import Path
home = Path(sys.argv[1])
for number in range(4):
    (home / str(number)).write_text("x")
(home / "0").rename(home / "moved")
time.sleep(60)
"""


@linux
def test_a_program_stands_still_at_the_change_that_was_named(tmp_path):
    """In a process of its own: pytest's has threads at times, and forks here."""
    (tmp_path / "program.py").write_text(PROGRAM)
    code = f"""
import signal
from pathlib import Path
from tests.campaign.home import Home
from tests.campaign.program import Program
with Home(Path({str(tmp_path / "home")!r}), disk=False) as home:
    for pause in (3, 5):
        words = [{str(tmp_path / "program.py")!r}, str(home.root)]
        program = Program(words, home, pause=pause)
        print(program.wait(20), program.paused_at, sorted(p.name for p in home.root.iterdir()))
        program.send(signal.SIGKILL)
        print(program.wait(20), program.end.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "pause open 2 ['0', '1', 'tmp']",
        f"ended {-signal.SIGKILL}",
        "pause os.rename moved ['0', '1', '2', '3', 'tmp']",
        f"ended {-signal.SIGKILL}",
    ]


@linux
@pytest.mark.slow
def test_a_short_campaign_loses_nothing(tmp_path):
    """A run of each kind of training and of a search: a minute; all of it takes an hour."""
    numbers = [
        str(1 + len(SCENARIOS) * turn + row) for row, turn in ((0, 2), (1, 1), (4, 0), (6, 1))
    ]
    words = [word for number in numbers for word in ("--run", number)]
    record = tmp_path / "kills.csv"
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign", "--csv", record, "--work", tmp_path, *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    rows = table.read(record)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows) >= 12 and {row["run"] for row in rows} <= set(numbers)
    assert not [row for row in rows if row["lost"] or row["unequal"]]
