"""Writes a saved network to a file: `python scripts/export.py RUN format=onnx|openvino|...`."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.config.command_line import report_errors
from lightning_modules.config.composing import config_over
from lightning_modules.deployment.formats import FORMATS, Format, format_named
from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_directory, saved_run
from lightning_modules.runs.overrides import key_of

DEFAULTS = {
    "format": "onnx",
    "images": "1000",
    "weights": "float",
    "int8": "",
    "max_f1_drop": "0.02",
}
OWN_KEYS = (*DEFAULTS, "out")
FOLDER = "export"  # of a run
NAMES = {None: "network", True: "int8", False: "float"}  # of files, by the key int8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is exported.

    Attributes:
        form: the file's format.
        images: how many validation images network and file are compared on, at most.
        half: whether the weights are stored in 16 bits.
        int8: true quantises the run's float network on the way, false exports that network; None
            exports what the run keeps.
        max_f1_drop: the most macro-F1 that an int8 file may lose.
    """

    form: Format
    images: int
    half: bool
    int8: bool | None
    max_f1_drop: float

    @property
    def file(self) -> str:
        """The file's usual name."""
        if self.half:
            return f"half{self.form.suffix}"
        return f"{NAMES[self.int8]}{self.form.suffix}"


def main() -> None:
    """Parses the command line, exports, and prints what the comparison found."""
    words = _parser().parse_args().words
    own = dict(word.split("=", 1) for word in words if key_of(word) in OWN_KEYS)
    runs = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word and key_of(word) not in OWN_KEYS]
    if len(runs) != 1:
        raise ConfigError(f"Name one run directory, or `last`; not {' and '.join(runs) or 'none'}.")
    settings = settings_of({**DEFAULTS, **own})
    form = settings.form
    run = run_directory.resolve(runs[0], run_directory.FINISHED)
    out = Path(own["out"]) if "out" in own else run / FOLDER / settings.file
    if out.suffix != form.suffix or out.is_dir():
        raise ConfigError(f"out={out}: a file of format={form.name} ends with {form.suffix}.")
    show(export_run(run, out, settings, overrides), out)


def settings_of(own: dict[str, str]) -> Settings:
    """The own keys, checked.

    Raises:
        ConfigError: a value is impossible, its format is not installed, or cannot do it.
    """
    form = format_named(own["format"])
    half = _choice("weights", own["weights"], ("float", "half")) == "half"
    int8 = None
    if own["int8"]:
        int8 = _choice("int8", own["int8"].lower(), ("true", "false")) == "true"
    if half and not form.half_weights:
        able = " and ".join(name for name, entry in FORMATS.items() if entry.half_weights)
        raise ConfigError(f"format={form.name} cannot store weights=half; {able} can.")
    if int8 and not form.quantizes:
        raise ConfigError(
            f"format={form.name} does not quantize: it exports the int8 network of a run, which "
            "is made by: python run.py +compression=quantize from_run=RUN."
        )
    return Settings(
        form=form,
        images=_count(own["images"]),
        half=half,
        int8=int8,
        max_f1_drop=_share("max_f1_drop", own["max_f1_drop"]),
    )


def export_run(run: Path, out: Path, settings: Settings, overrides: list[str]) -> dict[str, Any]:
    """Exports the network of a run; returns what is also in the JSON beside the file.

    Args:
        run: a run directory.
        out: the file.
        settings: what is exported.
        overrides: Hydra overrides over the run's saved configuration.
    """
    saved_run.description(run)
    cfg = config_over(run, overrides)

    from lightning_modules.deployment.exporting import export  # torch: once the checks passed
    from lightning_modules.deployment.int8_export import float_run, prepare_int8
    from lightning_modules.deployment.run_images import validation_images
    from lightning_modules.networks import load_network

    form = settings.form
    source = run if settings.int8 is None else float_run(run, cfg)
    network = load_network(source, trust=saved_run.trusted_packages(cfg))
    images, source = validation_images(cfg, network.image_size, settings.images)
    judged = prepare_int8(
        network, form, cfg, quantize=bool(settings.int8), max_f1_drop=settings.max_f1_drop
    )
    return export(
        network,
        form,
        out,
        resize_mode=cfg.data.fit,
        images=images,
        image_source=source,
        int8=judged,
        half=settings.half,
    )


def show(report: dict[str, Any], out: Path) -> None:
    """Prints what a person wants to know of the file."""
    beside = f", with {' and '.join(report['beside'])} beside it" if report["beside"] else ""
    print(
        f"file        {out}{beside} ({report['bytes']:,} bytes, written in {report['seconds']} s)"
    )
    print(f"compared    on {report['images']} {report['compared_on']}")
    print(f"difference  {report['largest_probability_difference']:.2g} of a probability at most")
    print(f"agreement   {report['top1_agreement']:.2%} of the top classes")
    if quality := report.get("macro_f1"):
        print(
            f"macro-F1    {quality['before']:.4f} to {quality['after']:.4f} on {quality['split']} "
            f"(max_f1_drop={quality['max_f1_drop']:g})"
        )
    print(f"classes     {', '.join(report['class_names'])}")
    print(f"input       {report['preprocessing']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Writes a saved network to a file that takes raw uint8 pixels and gives "
        "class probabilities, and keeps it only if it agrees with the network on real images.",
        usage="%(prog)s RUN [format=onnx] [key=value ...]",
        epilog=f"Own keys: format={'|'.join(FORMATS)} (default onnx), out=FILE (default "
        "RUN/export/network.*), images=N validation images to compare on at most (default 1000), "
        "weights=half stores them in 16 bits (onnx, openvino), int8=false exports the float "
        "network that an int8 run came from, int8=true quantises that one on training images "
        "(executorch), max_f1_drop=N the most macro-F1 that an int8 file may lose (default 0.02).",
    )
    parser.add_argument("words", nargs="+", metavar="RUN | key=value")
    return parser


def _choice(key: str, text: str, known: tuple[str, str]) -> str:
    if text not in known:
        raise ConfigError(f"{key}={text}: {' or '.join(known)}.")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"images={text} is no number of images; give 1 or more.")
    return int(text)


def _share(key: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{key}={text} lies in 0..1.")
    return share


if __name__ == "__main__":
    with report_errors():
        main()
