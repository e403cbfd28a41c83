"""Classifies the images of a folder: `python scripts/predict.py RUN|FILE FOLDER [--all]`."""

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
    if len(names) != 2:
        raise ConfigError(
            f"Name a run (or an exported file) and a folder of images; {len(names)} given."
        )
    if flags.batch < 1:
        raise ConfigError(f"--batch {flags.batch}: it must be 1 or more.")
    if flags.watch and flags.format != "csv":
        raise ConfigError("--watch adds rows as images come, which only --format csv can.")
    if flags.all and flags.format != "csv":
        raise ConfigError("--all adds columns, which only --format csv has.")
    folder, out = Path(names[1]), Path(flags.out or DEFAULT_OUT[flags.format])
    if out.is_dir():
        raise ConfigError(f"--out {out} is a directory; give the name of a file.")

    from lightning_modules.deployment import format_named, require_used
    from lightning_modules.deployment.schema import FileSettings  # pydantic: not for `--help`

    settings = typed.settings(FileSettings)
    form = None if settings.format is None else format_named(settings.format)
    require_used(form, [Path(names[0])])

    # torch: once these are right
    from lightning_modules.deployment import (
        find_model,
        list_images,
        open_model,
        predict_folder,
        summary,
        watch_folder,
    )

    paths = [] if flags.watch else list_images(folder)
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
        description="Classifies the images of a folder (and those below it) with a saved network "
        "or an exported file.",
        usage="RUN|FILE FOLDER [format=NAME] [key=value ...] [--flags]",
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
