"""What is in a data set and what is wrong with it: `python scripts/audit_data.py data=...`."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from datamodules.audit import DISTANCE, write_sheets, write_tables
from datamodules.audit.audit import audit
from datamodules.audit.summary import summary
from datamodules.schema import as_size
from datamodules.sources import Index
from lightning_modules.config import ScriptParser, fresh_config, run_script, table_console
from lightning_modules.errors import ConfigError
from lightning_modules.files import whole_folder
from lightning_modules.registry import build
from lightning_modules.runs import make_splits

OURS = "duplicates.csv"  # in every audit's folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, audits, prints the summary and writes tables and pictures."""
    typed = _parser().parse(arguments)
    flags, cfg = typed.flags, fresh_config([*typed.names, *typed.overrides])
    folder = Path(flags.out or Path(cfg.outputs_dir) / "audit" / cfg.data.name)
    _check_free(folder)
    size = cfg.data.image_size
    found = audit(
        read_index(cfg),
        image_size=as_size(size if isinstance(size, int) else list(size)),
        distance=flags.distance,
    )
    console = table_console(record=True)
    for text in summary(found):
        console.print(text, markup=False, highlight=False, soft_wrap=isinstance(text, str))
    with _written_whole(folder) as part:
        write_tables(found, part)
        write_sheets(found, part)
        console.save_text(str(part / "summary.txt"))
    print(f"tables and pictures: {folder}")


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Counts the images of each class and split, measures their sizes, names the "
        "files that cannot be read, and finds duplicates: across classes they are label "
        "conflicts, across splits leakage. Changes nothing in the data.",
        usage="data=NAME [key=value ...] [--out DIR] [--distance N]",
    )
    parser.add_argument("--out", metavar="DIR", help="default: outputs/audit/<data>")
    parser.add_argument(
        "--distance",
        type=int,
        default=DISTANCE,
        metavar="N",
        help="bits of 64 in which the perceptual hashes of look-alikes may differ, default "
        f"{DISTANCE}; their thumbnails must correlate as well",
    )
    return parser


def read_index(cfg: DictConfig) -> Index:
    """What the configured source finds, split as for training."""
    source = build(cfg.data.source)
    source.prepare()
    return make_splits(cfg).apply(source.read())


def _check_free(folder: Path) -> None:
    """Refuses a folder that holds anything but an earlier audit, which is replaced."""
    if folder.exists() and not (folder.is_dir() and (folder / OURS).is_file()):
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise ConfigError(f"{folder} exists and is no audit; give another --out.")


@contextlib.contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into, which then takes its place."""
    try:
        with whole_folder(folder) as part:
            yield part
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{folder} cannot be written ({reason}); give another --out.") from error


if __name__ == "__main__":
    run_script(main)
