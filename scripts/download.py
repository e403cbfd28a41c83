"""Fetches a data set, and only what is missing: `python scripts/download.py taco|trashnet`."""

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from datamodules.downloads import taco, trashnet
from datamodules.downloads.limits import Limits
from datamodules.downloads.report import LIST, Report
from datamodules.downloads.root_folder import default_root
from datamodules.errors import DataError
from lightning_modules.config.command_line import report_errors
from lightning_modules.errors import ConfigError
from lightning_modules.runs.overrides import key_of

NAMES = ("taco", "trashnet")
OWN_KEYS = ("root", "url")
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
INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


def main() -> None:
    """Parses the command line, downloads, and says what to type next."""
    flags = _parser().parse_intermixed_args()
    name, own = _words(flags.words)
    limits = Limits(**{key: getattr(flags, key) for key in LIMITS})
    given = {"verify": flags.verify, "limits": limits}
    given |= {"url": own["url"]} if "url" in own else {}
    root = Path(own["root"]) if "root" in own else default_root(name)
    if name == "taco":
        report = taco.download_taco(root, annotations=flags.annotations, **given)
    elif flags.annotations is None:
        report = trashnet.download_trashnet(root, **given)
    else:
        raise ConfigError(
            f"--annotations {flags.annotations} is for taco; {name} has no such file."
        )
    tell(name, report, usual="root" not in own)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Fetches a data set. What is there already stays, and an interrupted download "
        "is continued by the same command.",
        usage="%(prog)s taco|trashnet [root=DIR] [url=ADDRESS] [--flags]",
        epilog="Own keys: root=DIR (default: data/NAME, or NAME in MODEL_DIET_DATA), url=ADDRESS "
        "(of taco's annotations or of trashnet's archive; default: the official ones).",
    )
    parser.add_argument("words", nargs="*", metavar="taco | trashnet | key=value")
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


def _words(words: list[str]) -> tuple[str, dict[str, str]]:
    """The data set and the own keys."""
    names = [word for word in words if "=" not in word]
    if len(names) != 1 or names[0] not in NAMES:
        raise ConfigError(
            f"{' '.join(names) or 'Nothing'} cannot be downloaded; name one of {', '.join(NAMES)}."
        )
    own = {key_of(word): word.split("=", 1)[1] for word in words if "=" in word}
    for key, value in own.items():
        if key not in OWN_KEYS or not value:
            raise ConfigError(f"{key}={value} is nothing to set; own keys: {', '.join(OWN_KEYS)}.")
    return names[0], own


def tell(name: str, report: Report, *, usual: bool) -> None:
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
        f"{name:<9} {there} of {report.total} images in {report.root}, {report.fetched} of them new"
    )
    for target, reason in gone[:SHOWN]:
        print(f"  {target.path.relative_to(report.root)}: {reason}")
    if len(gone) > SHOWN:
        print(f"  and {len(gone) - SHOWN} more")
    words = [f"data={name}"] + ([] if usual else [f"data.root={report.root}"])
    if gone:
        words.append(f"data.source.annotations={taco.AVAILABLE}")
    if there:
        print(f"{'next':<9} python run.py {shlex.join(words)}")
    if gone:
        raise DataError(
            f"{len(gone)} of {report.total} images could not be had ({report.root / LIST} says "
            "why); the same command tries them again."
        )


if __name__ == "__main__":
    with report_errors():
        try:
            main()
        except KeyboardInterrupt:
            print("Interrupted; the same command continues where it was.", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
