"""Fetches a data set, and only what is missing of it: `python scripts/download.py NAME`."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from datamodules.downloads import (
    MISSING_LIST,
    Limits,
    Report,
    default_root,
    fashion_mnist,
    taco,
    trashnet,
)
from datamodules.errors import DataError
from datamodules.typed_words import command, typed_word
from lightning_modules.config import OwnKey, ScriptParser, run_script
from lightning_modules.errors import ConfigError

NAMES = ("taco", "trashnet", "fashion_mnist")
KEYS = {
    "root": OwnKey("DIR", "(default: data/NAME, or NAME in MODEL_DIET_DATA)"),
    "url": OwnKey(
        "ADDRESS",
        "of taco's annotations, trashnet's archive or fashion_mnist's folder (default: official)",
    ),
}
LIMITS = {
    "workers": "files at the same time",
    "attempts": "tries for each file",
    "backoff": "seconds before the second try, doubled before each further one",
    "longest_wait": "seconds that a server may ask to wait",
    "connect_timeout": "seconds to open a connection",
    "stall_timeout": "seconds without an answer or new bytes",
    "max_bytes": "largest file that is taken",
}
SHOWN = 10  # missing files that are named on the screen


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, downloads, and says what to type next."""
    typed = _parser().parse(arguments)
    flags, own = typed.flags, typed.own
    name = _data_set(typed.names)
    limits = Limits(**{key: getattr(flags, key) for key in LIMITS})
    given = {"verify": flags.verify, "limits": limits}
    given |= {"url": own["url"]} if "url" in own else {}
    root = Path(own["root"]) if "root" in own else default_root(name)
    if name == "taco":
        report = taco.download_taco(root, annotations=flags.annotations, **given)
    elif flags.annotations is not None:
        raise ConfigError(
            f"--annotations {flags.annotations} is for taco; {name} has no such file."
        )
    elif name == "trashnet":
        report = trashnet.download_trashnet(root, **given)
    else:
        report = fashion_mnist.download_fashion_mnist(root, **given)
    show(name, report, usual="root" not in own)


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Fetches a data set. What is there already stays, and an interrupted download "
        "is continued by the same command.",
        usage="taco|trashnet|fashion_mnist [root=DIR] [url=ADDRESS] [--flags]",
        keys=KEYS,
        overrides=False,
    )
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="take taco's from here")
    parser.add_argument("--verify", action="store_true", help="look closely at what is there, too")
    for field in fields(Limits):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help=f"{LIMITS[field.name]} (default: {field.default})",
        )
    return parser


def _data_set(names: list[str]) -> str:
    """The only one that was named."""
    if len(names) != 1 or names[0] not in NAMES:
        raise ConfigError(
            f"{' '.join(names) or 'Nothing'} cannot be downloaded; name one of {', '.join(NAMES)}."
        )
    return names[0]


def show(name: str, report: Report, *, usual: bool) -> None:
    """Prints what there is and the next command.

    Args:
        name: The data set.
        report: How its download ended.
        usual: Whether `data=NAME` looks there of itself.

    Raises:
        DataError: files are missing.
    """
    there, gone = report.total - len(report.missing), list(report.missing.items())
    print(
        f"{name:<9} {there} of {report.total} {report.what} in {report.root}, {report.fetched} of "
        "them new"
    )
    for target, reason in gone[:SHOWN]:
        print(f"  {target.path.relative_to(report.root)}: {reason}")
    if len(gone) > SHOWN:
        print(f"  and {len(gone) - SHOWN} more")
    words = [typed_word("data", name)] + ([] if usual else [typed_word("data.root", report.root)])
    if gone and name == "taco":
        words.append(typed_word("data.source.annotations", taco.AVAILABLE))
    if there and (name == "taco" or not gone):
        print(f"{'next':<9} {command('run.py', *words)}")
    if gone:
        raise DataError(
            f"{len(gone)} of {report.total} {report.what} could not be had "
            f"({report.root / MISSING_LIST} says why); the same command tries them again."
        )


if __name__ == "__main__":
    run_script(main, interrupted="Interrupted; the same command continues where it was.")
