"""What is in a data set and what is wrong with it: `python scripts/audit_data.py data=...`."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from datamodules.audit import (
    DISTANCE,
    REASONS,
    Audit,
    LabelIssues,
    find_label_issues,
    find_look_alikes,
    list_exclusions,
    require_cleanlab,
    write_sheets,
    write_tables,
)
from datamodules.audit.audit import audit
from datamodules.audit.summary import summary
from datamodules.schema import as_size
from datamodules.sources import Index, overview_lines
from datamodules.splits import check_place, leave_out, list_path, read_list, write_list
from lightning_modules.config import (
    OwnKey,
    ScriptArguments,
    ScriptParser,
    config_over,
    fresh_config,
    run_script,
    table_console,
)
from lightning_modules.errors import ConfigError
from lightning_modules.files import remove_dead_parts, whole_folder
from lightning_modules.runs import (
    AUDIT,
    Record,
    build_source,
    changes,
    find_folder,
    find_records,
    make_splits,
    trained_on,
    typed_word,
)

OURS = "duplicates.csv"  # in every audit's folder
KEYS = {
    "exclude": OwnKey("FILE", "write a list of images to leave out, for review, then data.exclude"),
    "reasons": OwnKey("corrupt,leakage,...", "why images are listed", "corrupt,leakage,conflicts"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, audits, prints the summary and writes tables and pictures."""
    typed = _parser().parse(arguments)
    flags, records = typed.flags, _records(typed.names)
    cfg = _config(typed, records)
    reasons = _reasons(typed, labelled=bool(records))
    folder = Path(flags.out or _default_folder(typed, cfg))
    _check_free(folder)
    listed = Path(typed.own["exclude"]) if "exclude" in typed.own else None
    if listed:
        check_place(listed, in_use=cfg.data.get("exclude"))
    size = cfg.data.image_size
    found = audit(
        read_index(cfg, records),
        image_size=as_size(size if isinstance(size, int) else list(size)),
        distance=flags.distance,
    )
    if records:
        found = dataclasses.replace(found, labels=_label_issues(records, typed.overrides))
    console = table_console(record=True)
    changed = changes(found.index, records[0].folder) if records else ()
    for text in (*overview_lines(found.index), *changed, *summary(found)):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    with _written_whole(folder) as part:
        write_tables(found, part)
        write_sheets(found, part)
        console.save_text(str(part / "summary.txt"))
    print(f"tables and pictures: {folder}")
    if listed:
        for line in _write_exclusions(found, listed, reasons, cfg):
            print(line)


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Counts the images of each class and split, measures their sizes, names the "
        "files that cannot be read, and finds duplicates: across classes they are label "
        "conflicts, across splits leakage. Of the data of runs also the labels that are likely "
        "wrong, by confident learning on predictions for images that a run was not trained on. "
        "Changes nothing in the data.",
        usage="data=NAME|STUDY|RUN... [key=value ...] [--out DIR] [--distance N]",
        epilog="STUDY: of a cross-validation (run.py -m data.fold=0,1,2,3,4 data.num_folds=5), "
        "whose trials together leave no image unchecked; a RUN alone has its validation and test "
        "images.",
        keys=KEYS,
    )
    parser.add_argument(
        "--out", metavar="DIR", help="default: outputs/audit/<data>, or STUDY/audit, RUN/audit"
    )
    parser.add_argument(
        "--distance",
        type=int,
        default=DISTANCE,
        metavar="N",
        help="bits of 64 in which the perceptual hashes of look-alikes may differ, default "
        f"{DISTANCE}; their thumbnails must correlate as well",
    )
    return parser


def _records(names: Sequence[str]) -> list[Record]:
    """The finished ones of the runs and trials that were named; the others are said."""
    found = find_records(names)
    for record in found:
        if record.failure is not None:
            print(f"{record.name} is left out: {record.failure}", file=sys.stderr)
    finished = [record for record in found if record.failure is None]
    if found and not finished:
        raise ConfigError("None of these runs has finished; the reasons stand above.")
    if finished:
        require_cleanlab()
    return finished


def _config(typed: ScriptArguments, records: Sequence[Record]) -> DictConfig:
    """Whose data is audited: as it was before a cross-validation shared it out."""
    if not records:
        return fresh_config(typed.overrides)
    cfg = config_over(records[0].folder, typed.overrides)
    cfg.data.fold = cfg.data.num_folds = None
    cfg.data.train_on_all = False
    return cfg


def _reasons(typed: ScriptArguments, *, labelled: bool) -> list[str]:
    """Why images are listed."""
    reasons = [word.strip() for word in typed.own["reasons"].strip("[]").split(",")]
    if not {*reasons} <= REASONS.keys():
        raise ConfigError(
            f"reasons={typed.own['reasons']} is not allowed; give some of {','.join(REASONS)}."
        )
    if "labels" in reasons and not labelled:
        raise ConfigError(
            "reasons=labels needs predictions for images that a network was not trained on: name "
            "a finished study or run instead of data=..."
        )
    return reasons


def _default_folder(typed: ScriptArguments, cfg: DictConfig) -> Path:
    if typed.names:
        return find_folder(typed.names[0]) / AUDIT
    return Path(cfg.outputs_dir) / "audit" / cfg.data.name


def _label_issues(records: Sequence[Record], overrides: Sequence[str]) -> LabelIssues:
    from lightning_modules.evaluation import out_of_sample_predictions  # torch

    return find_label_issues(out_of_sample_predictions(records, overrides))


def _write_exclusions(
    found: Audit, path: Path, reasons: Sequence[str], cfg: DictConfig
) -> Iterator[str]:
    """Writes the list; the words that say so.

    What `data.exclude` leaves out already stays on it, so that it can take that list's place.
    """
    in_use = cfg.data.get("exclude")
    before = [] if in_use is None else read_list(list_path(in_use))
    new = list_exclusions(found, reasons)
    write_list(path, [*before, *new.listed], in_use=in_use)
    yield f"images to leave out: {path}, {len(before) + len(new.listed)} in all"
    yield from (f"  {REASONS[reason]}: {count}" for reason, count in new.counts.items() if count)
    if before:
        yield f"  listed in {in_use} already: {len(before)}"
    yield f"review it, then train with {typed_word('data.exclude', path)}"


def read_index(cfg: DictConfig, records: Sequence[Record]) -> Index:
    """What the configured source finds, split as for training, or as runs have it on record."""
    source = build_source(cfg.data)
    source.prepare()
    index = source.read()
    if {"train", "unsplit"} & index.splits.keys():
        trained = trained_on(records[0].folder) if records else None
        own = trained is not None and trained.has(cfg.data, index)
        splits = trained.splits(cfg) if trained and own else make_splits(cfg)
        return splits.apply(index, find_copies=partial(find_look_alikes, cache_dir=None))
    return leave_out(index, cfg.data.get("exclude"))  # nothing to train on, and nothing to share


def _check_free(folder: Path) -> None:
    """Refuses a folder that holds anything but an earlier audit, which is replaced."""
    if folder.exists() and not (folder.is_dir() and (folder / OURS).is_file()):
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise ConfigError(f"{folder} exists and is no audit; give another --out.")


@contextlib.contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into, which then takes its place."""
    remove_dead_parts(folder.parent, folder.name)
    try:
        with whole_folder(folder) as part:
            yield part
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{folder} cannot be written ({reason}); give another --out.") from error


if __name__ == "__main__":
    run_script(main)
