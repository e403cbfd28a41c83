"""What each way of compressing costs and saves: one table, filled by one resumable command.

`python scripts/bench/compress.py FOLDER --weights shufflenet_g3.pth data=image_folder
data.root=photos data.image_size=80`

Every row is a run of run.py below FOLDER; finished ones are skipped and interrupted ones continued,
so the command can be given again at any time. `--only shufflenet` (or mobilenet, resnet, or a row's
name) leaves the others for later; `--show` only prints the table of what is there. Each row is
compared with the network that entered its own run; both latencies are measured alternately.
"""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compression.pruning.settings import IMPORTANCES
from lightning_modules.config import ScriptParser, run_script
from lightning_modules.errors import ConfigError
from lightning_modules.runs import METRICS_FILE, bash_word, read_metrics
from scripts.bench.measuring import start_run

PLAIN = ("logger=none", "pictures=false")
RANKS = {
    "ratio 0.4": ["ranks=ratio", "ratio=0.4"],
    "energy 0.9": ["ranks=energy", "energy=0.9"],
    "vbmf": ["ranks=vbmf"],
    "target 50 %": ["target.macs=0.5"],
}


class Results:
    """The runs below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def run(self, name: str, seed: int) -> Path:
        """Where a row's run of a seed lies."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9.]+', '_', name).strip('_')}_{seed}"

    def metrics(self, name: str, seed: int) -> dict[str, Any] | None:
        """What the run measured; None while it is not finished."""
        run = self.run(name, seed)
        return read_metrics(run) if (run / METRICS_FILE).is_file() else None

    def f1(self, name: str, seed: int = 0) -> float:
        """The macro-F1 of a run, or a number below all of them while it is not finished."""
        metrics = self.metrics(name, seed)
        return -1.0 if metrics is None else metrics["val/f1"]

    def best(self, names: list[str]) -> str | None:
        """The row with the highest macro-F1 at seed 0; None while one of them is not finished."""
        return max(names, key=self.f1) if all(self.f1(name) >= 0 for name in names) else None


Words = list[str]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: as printed.
        family: of the network, also the row of the uncompressed one.
        words: for run.py; None while what they depend on is not finished.
        seeds: how often it is run.
        from_run: whether it starts from the uncompressed run of the same seed.
    """

    name: str
    family: str
    words: Callable[[Results, int], Words | None]
    seeds: tuple[int, ...] = (0,)
    from_run: bool = True


def rows(weights: str, given: Words) -> list[Row]:
    """All lines, each after those that it depends on."""
    fixed: dict[str, Words] = {
        "shufflenet": ["model=shufflenet_g3", f"model.weights={weights}"],
        "mobilenet": ["model=mobilenet_v3"],
        "resnet": ["model=timm", "model.name=resnet18", "+model.channels=[32,64,128,256]"],
    }
    bases = [
        Row(name, name, constant(*words, *given), seeds=(0, 1, 2), from_run=False)
        for name, words in fixed.items()
    ]
    return [*bases, *shufflenet_rows(), *mobilenet_rows(), *resnet_rows()]


def constant(*words: str) -> Callable[[Results, int], Words | None]:
    """Words that depend on no other row."""
    return lambda results, seed: list(words)


def shufflenet_rows() -> list[Row]:
    """Layers against channels, and layers without a teacher."""
    layers = ["+compression=prune_layers", "compression.prune_layers.keep=[2,5,2]"]
    channels = ["+compression=prune", "compression.prune.target.macs=0.64"]
    taught = "+teacher=original"
    return [
        Row(name, "shufflenet", constant(*words), seeds=(0, 1, 2))
        for name, words in {
            "layers [2,5,2]": layers,
            "layers [2,5,2] taught by the original": [*layers, taught],
            "channels to 64 %": channels,
            "channels to 64 % taught by the original": [*channels, taught],
        }.items()
    ]


def mobilenet_rows() -> list[Row]:
    """Channels to half of the MACs by each importance; the best of them with teachers."""
    half = ["+compression=prune", "compression.prune.target.macs=0.5"]
    names = {
        f"channels by {importance}": importance
        for importance in IMPORTANCES.paths
        if importance != "auto"
    }
    single = [
        Row(name, "mobilenet", constant(*half, f"compression.prune.importance={importance}"))
        for name, importance in names.items()
    ]

    def best(results: Results, seed: int) -> Words | None:
        name = results.best(list(names))
        return name and [*half, f"compression.prune.importance={names[name]}"]

    def taught(results: Results, seed: int) -> Words | None:
        teachers = [f"+teacher.s{n}.run={results.run('shufflenet', n)}" for n in (0, 1, 2)]
        words = best(results, seed)
        return words and [*words, *teachers, "distillation.cache=30", "augment.seed=0"]

    return [
        *single,
        Row("channels by the best importance", "mobilenet", best, seeds=(0, 1, 2)),
        Row("the same, taught by three shufflenets", "mobilenet", taught, seeds=(0, 1, 2)),
    ]


def resnet_rows() -> list[Row]:
    """Tucker by each way to choose ranks and both preferences, CP, and a chain."""
    tables: list[Row] = []
    for prefer in ("macs", "latency"):
        names = {f"tucker, {ranks}, prefer={prefer}": words for ranks, words in RANKS.items()}
        words = {name: tucker(prefer, *asked) for name, asked in names.items()}
        tables += [Row(name, "resnet", constant(*asked)) for name, asked in words.items()]

        def best(results: Results, seed: int, words: dict[str, Words] = words) -> Words | None:
            name = results.best(list(words))
            return name and words[name]

        tables.append(Row(f"the best, prefer={prefer}", "resnet", best, seeds=(0, 1, 2)))

    def as_ratio(results: Results, seed: int) -> Words | None:
        metrics = results.metrics("tucker, ratio 0.4, prefer=macs", seed)
        return metrics and tucker("macs", f"target.macs={change(metrics, 'cost/macs'):.4f}")

    chain = ["+compression=[prune,tucker]"]
    chain += ["compression.prune.target.macs=0.7", "compression.tucker.target.macs=0.7"]
    cp = ["+compression=cp", "compression.cp.target.macs=0.5"]
    return [
        *tables,
        Row("tucker, target: MACs as of ratio 0.4", "resnet", as_ratio),
        Row("cp, target 50 %", "resnet", constant(*cp)),
        Row("prune to 70 %, then tucker to 70 %", "resnet", constant(*chain)),
    ]


def tucker(prefer: str, *keys: str) -> Words:
    """The words for one Tucker step."""
    asked = [f"prefer={prefer}", *keys]
    return ["+compression=tucker", *(f"compression.tucker.{key}" for key in asked)]


def fill(row: Row, results: Results, every: list[Row]) -> list[str]:
    """Runs what is missing of a row; returns a sentence for each run that failed.

    Where another row asked for the same run and has it, that one stands for both.
    """
    failures = []
    for seed in row.seeds:
        folder = results.run(row.name, seed)
        words = row.words(results, seed)
        twin = finished_twin(row, words, results, every, seed)
        base = results.run(row.family, seed)
        if row.from_run and words is not None:
            words = [*words, f"from_run={base}"] if (base / "metrics.json").is_file() else None
        if results.metrics(row.name, seed) is not None:
            continue
        if words is None:
            failures.append(f"{row.name}, seed {seed}: what it starts from is not finished")
            continue
        if twin is not None and not folder.exists():
            folder.symlink_to(twin.name)
            continue
        command = [*words, *PLAIN, f"seed={seed}", f"hydra.run.dir={folder}"]
        if (folder / ".hydra").is_dir():
            command = [f"resume={folder}"]
        typed = " ".join(map(bash_word, command))
        print(f"{row.name}, seed {seed}: run.py {typed}", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{folder}.log").open("w") as log:
            failed = start_run(command, output=log).wait()
        if failed:
            last = Path(f"{folder}.log").read_text().strip().splitlines()[-1:]
            failures.append(f"{row.name}, seed {seed}: {''.join(last)}")
    return failures


def finished_twin(
    row: Row, words: Words | None, results: Results, every: list[Row], seed: int
) -> Path | None:
    """The finished run of another row that has the same words and starts from the same run."""
    for other in every:
        alike = (other.family, other.from_run) == (row.family, row.from_run) and other is not row
        if alike and results.metrics(other.name, seed) and other.words(results, seed) == words:
            return results.run(other.name, seed)
    return None


def change(metrics: dict[str, Any], name: str) -> float:
    """A metric of the finished network as a ratio of that of the network it entered with."""
    first, last = metrics["steps"][0]["before"], metrics["steps"][-1]["after"]
    return last[name] / first[name]


def table(results: Results, lines: list[Row]) -> str:
    """The finished rows as Markdown."""
    text = ["| row | seeds | macro-F1 before | after | MACs | parameters | latency |"]
    text.append("|---|---|---|---|---|---|---|")
    for row in lines:
        found = [f for seed in row.seeds if (f := results.metrics(row.name, seed)) is not None]
        if found:
            text.append(line(row, found))
    return "\n".join(text)


def line(row: Row, found: list[dict[str, Any]]) -> str:
    """One line: mean (standard deviation) of F1, medians of the ratios."""
    name = f"**{row.name}**" if not row.from_run else row.name
    after = spread([f["val/f1"] for f in found])
    if not row.from_run:
        macs, params = found[0]["cost/macs"], found[0]["cost/params"]
        return f"| {name} | {len(found)} | | {after} | {macs:,} | {params:,} | |"
    before = spread([f["steps"][0]["before"]["val/f1"] for f in found])
    ratios = [
        f"x {statistics.median(change(f, cost) for f in found):.2f}"
        for cost in ("cost/macs", "cost/params", "cost/latency_ms")
    ]
    return f"| {name} | {len(found)} | {before} | {after} | {' | '.join(ratios)} |"


def spread(values: list[float]) -> str:
    """`0.836 (0.010)`: mean and sample standard deviation, or the value alone."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ({statistics.stdev(values):.3f})" if len(values) > 1 else mean


def main(arguments: Sequence[str] | None = None) -> None:
    """Fills the table row by row and prints it."""
    parser = ScriptParser(
        description=__doc__, usage="FOLDER --weights FILE [key=value ...] [--flags]"
    )
    parser.add_argument("--weights", required=True, help="ImageNet weights of shufflenet_g3")
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAMILY|ROW", help="leave the others"
    )
    parser.add_argument("--show", action="store_true", help="run nothing; print the table")
    typed = parser.parse(arguments)
    flags = typed.flags
    if len(typed.names) != 1:
        raise ConfigError("Name one folder, which the runs are to lie in.")
    results = Results(Path(typed.names[0]))
    every = rows(str(Path(flags.weights).resolve()), typed.overrides)
    lines = every
    if flags.only:
        lines = [r for r in every if {r.name, r.family} & {*flags.only}]
    failures = [] if flags.show else [text for row in lines for text in fill(row, results, every)]
    print(table(results, lines))
    if failures:
        raise SystemExit("\n".join(["error: these runs did not finish", *failures]))


if __name__ == "__main__":
    run_script(main)
