"""Programs of SLURM that the tests write."""

import os

import pytest


class Programs:
    """Small programs that come first in the path, and what they were told."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")

    def __call__(self, name, out="", err="", code=0):
        """Writes one: its standard output, its standard error, its exit code."""
        program = self.folder / name
        program.with_suffix(".out").write_text(out)
        program.with_suffix(".err").write_text(err)
        program.write_text(
            f'#!/bin/sh\necho "$0 $*" >> {self.folder}/said\n'
            f"cat {program}.out\ncat {program}.err >&2\nexit {code}\n"
        )
        program.chmod(0o755)

    def said(self):
        """The command lines, without the folder."""
        text = (self.folder / "said").read_text()
        return text.replace(f"{self.folder}/", "").splitlines()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    return Programs(folder, monkeypatch)
