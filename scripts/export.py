"""Writes a saved network to a file: `python scripts/export.py RUN format=onnx|openvino|...`."""

import argparse
from pathlib import Path
from typing import Any

from lightning_modules import run_directory, saved_run
from lightning_modules.command_line import explaining, key_of
from lightning_modules.delivery.formats import FORMATS, Format, format_named
from lightning_modules.errors import ConfigError
from lightning_modules.run_config import config_over

OWN_KEYS = ("format", "images", "out")
FOLDER = "export"  # of a run


def main() -> None:
    """Parses the command line, exports, and prints what the comparison found."""
    words = _parser().parse_args().words
    own = dict(word.split("=", 1) for word in words if key_of(word) in OWN_KEYS)
    runs = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word and key_of(word) not in OWN_KEYS]
    if len(runs) != 1:
        raise ConfigError(f"Name one run directory, or `last`; not {' and '.join(runs) or 'none'}.")
    form = format_named(own.get("format", "onnx"))
    images = _count(own.get("images", "1000"))
    run = run_directory.resolve(runs[0], run_directory.FINISHED)
    out = Path(own["out"]) if "out" in own else run / FOLDER / f"network{form.suffix}"
    if out.suffix != form.suffix or out.is_dir():
        raise ConfigError(f"out={out}: a file of format={form.name} ends with {form.suffix}.")
    show(export_run(run, form, out, overrides=overrides, images=images), out)


def export_run(
    run: Path, form: Format, out: Path, *, overrides: list[str], images: int
) -> dict[str, Any]:
    """Exports the network of a run; returns what is also in the JSON beside the file.

    Args:
        run: a run directory.
        form: the file's format.
        out: the file.
        overrides: Hydra overrides over the run's saved configuration.
        images: how many validation images network and file are compared on, at most.
    """
    saved_run.description(run)
    cfg = config_over(run, overrides)

    from lightning_modules.delivery.exporting import export  # torch: once the checks passed
    from lightning_modules.delivery.real_images import validation_images
    from lightning_modules.networks import load_network

    network = load_network(run, trust=saved_run.trusted_packages(cfg))
    real, told = validation_images(cfg, network.image_size, images)
    return export(network, form, out, fit=cfg.data.fit, images=real, told=told)


def show(report: dict[str, Any], out: Path) -> None:
    """Prints what a person wants to know of the file."""
    print(f"file        {out} ({report['bytes']:,} bytes, written in {report['seconds']} s)")
    print(f"compared    on {report['images']} {report['compared_on']}")
    print(f"difference  {report['largest_probability_difference']:.2g} of a probability at most")
    print(f"agreement   {report['top1_agreement']:.2%} of the top classes")
    print(f"classes     {', '.join(report['class_names'])}")
    print(f"input       {report['preprocessing']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Writes a saved network to a file that takes raw uint8 pixels and gives "
        "class probabilities, and keeps it only if it agrees with the network on real images.",
        usage="%(prog)s RUN [format=onnx] [key=value ...]",
        epilog=f"Own keys: format={'|'.join(FORMATS)} (default onnx), out=FILE (default "
        "RUN/export/network.*), images=N validation images to compare on at most (default 1000).",
    )
    parser.add_argument("words", nargs="+", metavar="RUN | key=value")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"images={text} is no number of images; give 1 or more.")
    return int(text)


if __name__ == "__main__":
    with explaining():
        main()
