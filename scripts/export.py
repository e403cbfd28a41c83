"""Writes a saved network to a file: `python scripts/export.py RUN format=onnx|openvino|...`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.config import OwnKey, ScriptParser, named_run, run_script
from lightning_modules.deployment import FORMATS, Format, format_named
from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_directory, saved_run

KEYS = {
    "format": OwnKey("|".join(FORMATS), "of the file", "onnx"),
    "out": OwnKey("FILE", "where it goes (default: RUN/export/network.*)"),
    "images": OwnKey("N", "validation images to compare on at most", "1000"),
    "weights": OwnKey("float|half", "half stores them in 16 bits (onnx, openvino)", "float"),
    "int8": OwnKey(
        "false|true",
        "false exports the float network that an int8 run came from, true quantises that one on "
        "training images (executorch)",
    ),
    "max_f1_drop": OwnKey("N", "the largest macro-F1 that an int8 file may lose", "0.02"),
}
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
        max_f1_drop: the largest macro-F1 that an int8 file may lose.
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, exports, and prints what the comparison found."""
    typed = _parser().parse(arguments)
    name, own = typed.one_run(), typed.own
    settings = settings_of(own)
    form = settings.form
    run = run_directory.resolve(name, run_directory.FINISHED)
    out = Path(own["out"]) if "out" in own else run / FOLDER / settings.file
    if out.suffix != form.suffix or out.is_dir():
        raise ConfigError(f"out={out}: a file of format={form.name} ends with {form.suffix}.")
    show(export_run(run, out, settings, typed.overrides), out)


def settings_of(own: dict[str, str]) -> Settings:
    """The own keys, checked.

    Raises:
        ConfigError: a value is impossible, its format is not installed, or cannot do it.
    """
    form = format_named(own["format"])
    half = _choice("weights", own["weights"], ("float", "half")) == "half"
    int8 = None
    if "int8" in own:
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
        max_f1_drop=_ratio("max_f1_drop", own["max_f1_drop"]),
    )


def export_run(run: Path, out: Path, settings: Settings, overrides: list[str]) -> dict[str, Any]:
    """Exports the network of a run; returns what is also in the JSON beside the file.

    Args:
        run: a run directory.
        out: the file.
        settings: what is exported.
        overrides: Hydra overrides over the run's saved configuration.
    """
    cfg = named_run(str(run), overrides).cfg

    # torch: once the checks passed
    from lightning_modules.deployment import export, float_run, prepare_int8, validation_images
    from lightning_modules.networks import load_network

    form = settings.form
    source = run if settings.int8 is None else float_run(run, cfg)
    network = load_network(source, trust=saved_run.trusted_packages(cfg))
    images, image_source = validation_images(cfg, network.image_size, settings.images)
    judged = prepare_int8(
        network, form, cfg, quantize=bool(settings.int8), max_f1_drop=settings.max_f1_drop
    )
    return export(
        network,
        form,
        out,
        resize_mode=cfg.data.resize_mode,
        images=images,
        image_source=image_source,
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


def _parser() -> ScriptParser:
    return ScriptParser(
        description="Writes a saved network to a file that takes raw uint8 pixels and gives "
        "class probabilities, and keeps it only if it agrees with the network on real images.",
        usage="RUN [format=onnx] [key=value ...]",
        keys=KEYS,
    )


def _choice(key: str, text: str, known: tuple[str, str]) -> str:
    if text not in known:
        raise ConfigError(f"{key}={text}: {' or '.join(known)}.")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"images={text} is no number of images; give 1 or more.")
    return int(text)


def _ratio(key: str, text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(f"{key}={text} lies in 0..1.")
    return ratio


if __name__ == "__main__":
    run_script(main)
