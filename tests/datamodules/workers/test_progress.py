"""What is shown: a bar on a terminal, plain lines elsewhere."""

import re

import pytest

from datamodules.workers.progress import DownloadProgress


def test_plain_lines(capsys):
    with DownloadProgress("taco", 3, interval=0.0) as meter:
        meter.received(1_500_000, 1_500_000, 2_000_000)
        meter.finished(failed=False)
        meter.finished(failed=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "taco ..."
    assert re.fullmatch(r"taco  0 of 3 files, 1\.5 MB, \S+ [kMG]?B/s", lines[1])
    assert re.fullmatch(r"taco  1 of 3 files, 1\.5 MB, \S+ [kMG]?B/s, 1 failed", lines[3])
    assert len(lines) == 4


def test_plain_lines_are_few(capsys):
    with DownloadProgress("taco", 1000) as meter:
        for _ in range(1000):
            meter.finished(failed=False)
    assert capsys.readouterr().out == "taco ...\n"


@pytest.mark.parametrize("files", [1, 4])
def test_a_bar_on_a_terminal(monkeypatch, files):
    monkeypatch.setenv("FORCE_COLOR", "1")
    meter = DownloadProgress("taco", files)
    assert meter._bar is not None
    with meter:
        meter.received(100, 300, 400)
        meter.finished(failed=False)
        task = meter._bar.tasks[0]
        assert (task.completed, task.total) == ((300, 400) if files == 1 else (1, 4))
