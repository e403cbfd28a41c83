"""Classifies images: `python scripts/predict.py RUN|FILE IMAGES [--all]`, files or folders."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.workers import cores
from lightning_modules.config import OwnKey, ScriptParser, run_script
from lightning_modules.errors import ConfigError

KEYS = {"format": OwnKey("NAME", "of a file in a format of your own")}
DEFAULT_OUT = {"csv": "predictions.csv", "submission": "submission.json"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and predicts."""
    typed = _parser().parse(arguments)
    names, flags, overrides = typed.names, typed.flags, typed.overrides
    if len(names) < 2:
        raise ConfigError(
            "Name a run (or an exported file), and images or folders of images; "
            f"{len(names)} given."
        )
    if flags.watch and len(names) > 2:
        raise ConfigError("--watch looks at one folder; name only one.")
    if flags.batch < 1:
        raise ConfigError(f"--batch {flags.batch}: it must be 1 or more.")
    if flags.watch and flags.format != "csv":
        raise ConfigError("--watch adds rows as images come, which only --format csv can.")
    if flags.all and flags.format != "csv":
        raise ConfigError("--all adds columns, which only --format csv has.")
    out = Path(flags.out or DEFAULT_OUT[flags.format])
    if out.is_dir():
        raise ConfigError(f"--out {out} is a directory; give the name of a file.")

    from lightning_modules.deployment import format_named, require_used
    from lightning_modules.deployment.schema import FileSettings  # pydantic: not for `--help`

    settings = typed.settings(FileSettings)
    form = None if settings.format is None else format_named(settings.format)
    require_used(form, [Path(names[0])])

    # torch: once these are right
    from lightning_modules.deployment import (
        choose_images,
        find_model,
        open_model,
        predict_folder,
        summary,
        watch_folder,
    )

    folder, paths = Path(names[1]), list[str]()
    if not flags.watch:
        folder, paths = choose_images(names[1:])
    path = find_model(names[0], overrides, named=form)
    model = open_model(path, overrides, threads=cores(), named=form)
    model.warm_up()
    how = {"all_classes": flags.all, "batch_size": flags.batch}
    if flags.watch:
        watch_folder(model, folder, out, **how)
        return
    stats = predict_folder(model, folder, paths, out, form=flags.format, **how)
    for line in summary(stats, folder, out):
        print(line)


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Classifies images, and those of folders and the folders below them, with a "
        "saved network or an exported file.",
        usage="RUN|FILE IMAGE|FOLDER [IMAGE|FOLDER...] [format=NAME] [key=value ...] [--flags]",
        keys=KEYS,
        epilog="RUN: a run directory, or `last`. FILE: of scripts/export.py (.onnx, .pt2, .xml, "
        ".pte). key=value: Hydra overrides over the run's configuration, such as "
        "data.resize_mode=pad.",
    )
    parser.add_argument("--all", action="store_true", help="a column for each class as well")
    parser.add_argument(
        "--format",
        choices=tuple(DEFAULT_OUT),
        default="csv",
        help="csv (default), or the JSON of the 2021 competition: inference, time, macs",
    )
    parser.add_argument(
        "--out", metavar="FILE", help=f"default {' or '.join(DEFAULT_OUT.values())}"
    )
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument(
        "--watch", action="store_true", help="go on with the images that come, until Ctrl-C"
    )
    return parser


if __name__ == "__main__":
    run_script(main, interrupted="Interrupted; nothing was written.")
