"""Files of runs and studies: what is read before torch is, by run.py and by the scripts."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hypothesis import strategies as st

from lightning_modules.config import config_over, expand, named_run
from lightning_modules.config.check import check
from lightning_modules.config.options import CONF
from lightning_modules.reporting import spread_table
from lightning_modules.reporting.report.finished_run import read_run
from lightning_modules.reporting.report.labels import likely_wrong_labels
from lightning_modules.runs import (
    find_records,
    read_metrics,
    run_directory,
    saved_config,
    summary,
    trust_word,
)
from lightning_modules.runs.saved_run import choice, last_stage
from lightning_modules.runs.trained_images import trained_on
from lightning_modules.search import study
from tests.conftest import ROOT
from tests.fuzz.inputs import damaged, files, json_files, written_csv, yaml_files
from tests.fuzz.target import Target

RUNS = ROOT / "tests" / "fixtures" / "runs"
NAMES = ("trained", "pruned_factorized", "distilled", "unfinished")
LABELS = [["image", "label", "seen", "probability", "file"], ["a.png", "a", "b", "0.1", "a.png"]]


def composed(words: Sequence[str]) -> Any:
    """The configuration of a command, as run.py would compose it."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose("config", overrides=list(words), return_hydra_config=True)


def run_checks(words: Sequence[str]) -> None:
    """A command line as far as torch is not needed."""
    expanded = [word for word in expand(list(words)) if not word.startswith("-")]
    check(composed(expanded))


def describe(run: Path) -> None:
    """As scripts on one run begin."""
    named_run(str(run), [])
    config_over(run, ["data.image_size=64"])
    trust_word(run)
    last_stage(run)


def enter(run: Path) -> None:
    """As `from_run=` begins."""
    choice(run, "model")
    run_checks([f"from_run={run}"])


def resume(run: Path) -> None:
    """As `resume=` begins."""
    (run / "metrics.json").unlink(missing_ok=True)
    run_checks([f"resume={run}"])


def tell(run: Path) -> None:
    """As scripts/report.py prints its table; then what its page reads."""
    (record,) = find_records([str(run)])
    told = summary.summarize([record], over=("seed",))
    spread_table.to_csv(told)
    if record.failure is None:
        read_metrics(run)
        read_run(record)
    likely_wrong_labels(run)


def images(run: Path) -> None:
    """Which images it was trained on."""
    trained_on(run)
    saved_config(run)


READERS: dict[str, Callable[[Path], None]] = {
    "describe": describe, "enter": enter, "resume": resume, "tell": tell, "images": images,
}  # fmt: skip
Damage = tuple[str, str, bytes, str]  # run, file in it, its content, reader


def prepare_runs(folder: Path) -> None:
    """Copies of the runs that are kept for tests."""
    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    for name in NAMES:
        shutil.copytree(RUNS / name, folder / name)


def read_damaged(folder: Path, damage: Damage) -> None:
    """Reads a copy of a run with one damaged file."""
    name, file, content, reader = damage
    place = folder / name
    (place / file).parent.mkdir(exist_ok=True, parents=True)
    (place / file).write_bytes(content)
    try:
        READERS[reader](place)
    finally:
        original = RUNS / name / file
        if original.is_file():
            shutil.copyfile(original, place / file)
        else:
            (place / file).unlink()
        if (RUNS / name / "metrics.json").is_file():
            shutil.copyfile(RUNS / name / "metrics.json", place / "metrics.json")


def run_files(file: str, readers: Sequence[str] = tuple(READERS)) -> st.SearchStrategy[Damage]:
    """Damaged versions of a file that some of the runs have, and who reads them."""
    kinds = []
    for name in NAMES:
        path = RUNS / name / file
        if path.is_file():
            text = path.read_text()
            if file.endswith(".json"):
                contents = json_files(json.loads(text))
            elif file.endswith(".csv"):
                contents = files([row.split(",") for row in text.splitlines()], written_csv)
            else:
                contents = yaml_files(yaml.safe_load(text))
            kinds.append(
                st.tuples(st.just(name), st.just(file), contents, st.sampled_from(readers))
            )
    return st.one_of(kinds)


def label_files() -> st.SearchStrategy[Damage]:
    """What an audit left with a run."""
    contents = files(LABELS, written_csv)
    return st.tuples(st.just("trained"), st.just("audit/labels.csv"), contents, st.just("tell"))


def pointers() -> st.SearchStrategy[bytes]:
    """The files that say which run `last` is."""
    return damaged([b"/tmp", b"", b"trained\n", b"\x00", b"\xff", b"a" * 5000, b"/proc/self/mem"])


def read_pointer(folder: Path, content: bytes) -> None:
    """As `resume=last`."""
    outputs = run_directory.outputs_root()
    outputs.mkdir(exist_ok=True, parents=True)
    (outputs / run_directory.FINISHED).write_bytes(content)
    named_run("last", [])


def prepare_study(folder: Path) -> None:
    """A small study with a database, whose winner has metrics."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(
        study_name="small", storage=f"sqlite:///{folder / 'study.db'}", direction="maximize"
    )
    made.set_user_attr("objectives", ["val/f1"])
    for number in range(3):
        trial = made.ask()
        trial.suggest_float("x", 0, 1)
        made.tell(trial, number / 3)
    (folder / "study.json").write_text(json.dumps(_about(folder)))
    (folder / "whole.db").write_bytes((folder / "study.db").read_bytes())


def _about(folder: Path) -> dict[str, Any]:
    return {
        "name": "small", "storage": f"sqlite:///{folder / 'study.db'}", "score": {},
        "directions": ["maximize"], "objectives": ["val/f1"], "space": {"x": {"low": 0, "high": 1}},
    }  # fmt: skip


def read_study(folder: Path, content: bytes) -> None:
    """As scripts/report.py on a search begins."""
    from lightning_modules.search.storage import find_study
    from lightning_modules.search.trials import records_of

    (folder / "study.json").write_bytes(content)
    records_of(find_study(folder)[0])


def read_database(folder: Path, flips: list[tuple[int, int]]) -> None:
    """The same with a damaged database."""
    from lightning_modules.search.storage import find_study
    from lightning_modules.search.trials import records_of

    content = bytearray((folder / "whole.db").read_bytes())
    for place, value in flips:
        if value > 255:
            del content[place % len(content) :]
            break
        content[place % len(content)] = value
    (folder / "study.db").write_bytes(content)
    records_of(find_study(folder)[0])


FLIPS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 260)), max_size=12)
CONFIGS = [
    Target(
        f"run: {file}", lambda file=file: run_files(f".hydra/{file}"), read_damaged, prepare_runs
    )
    for file in ("config.yaml", "hydra.yaml", "overrides.yaml")
]  # fmt: skip
TARGETS = [
    *CONFIGS,
    *(
        Target(f"run: {file}", lambda file=file: run_files(file), read_damaged, prepare_runs)
        for file in ("metrics.json", "metrics.csv", "model/network.yaml")
    ),
    Target("run: audit/labels.csv", label_files, read_damaged, prepare_runs),
    Target("pointers", pointers, read_pointer, prepare_runs),
    Target("study.json", lambda: json_files(_about(Path())), read_study, prepare_study),
    Target("study.db", lambda: FLIPS, read_database, prepare_study),
]
