"""Writes a saved network to a file: `python scripts/export.py RUN format=onnx|openvino|...`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.config import OwnKey, ScriptParser, named_run, run_script
from lightning_modules.deployment import EXPORTS, Format, format_named, known_formats
from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_directory

if TYPE_CHECKING:
    from lightning_modules.deployment.schema import ExportSettings

KEYS = {
    "format": OwnKey(
        "|".join(EXPORTS.paths), "of the file, or {_target_: ...} of your own", "onnx"
    ),
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, exports, and prints what the comparison found."""
    typed = _parser().parse(arguments)
    name, own = typed.one_run(), typed.own

    from lightning_modules.deployment.schema import ExportSettings  # pydantic: not for `--help`

    settings = typed.settings(ExportSettings)
    form = able_format(settings)
    run = run_directory.resolve(name, run_directory.FINISHED)
    out = Path(own["out"]) if "out" in own else run / FOLDER / file_name(settings, form)
    if out.suffix != form.suffix or out.is_dir():
        raise ConfigError(f"out={out}: a file of format={form.name} ends with {form.suffix}.")
    show(export_run(run, out, form, settings, typed.overrides), out)


def able_format(settings: "ExportSettings") -> Format:
    """The format that is meant.

    Raises:
        ConfigError: it does not exist, is not installed, or cannot do what is wanted.
    """
    form = format_named(settings.format)
    if settings.weights == "half" and not form.half_weights:
        able = " and ".join(known.name for known in known_formats() if known.half_weights)
        raise ConfigError(f"format={form.name} cannot store weights=half; {able} can.")
    if settings.int8 and not form.quantizes:
        raise ConfigError(
            f"format={form.name} does not quantize: it exports the int8 network of a run, which "
            "is made by: python run.py +compression=quantize from_run=RUN."
        )
    return form


def file_name(settings: "ExportSettings", form: Format) -> str:
    """How the file is usually called."""
    return f"{'half' if settings.weights == 'half' else NAMES[settings.int8]}{form.suffix}"


def export_run(
    run: Path, out: Path, form: Format, settings: "ExportSettings", overrides: list[str]
) -> dict[str, Any]:
    """Exports the network of a run; returns what is also in the JSON beside the file.

    Args:
        run: a run directory.
        out: the file.
        form: its format.
        settings: what is exported.
        overrides: Hydra overrides over the run's saved configuration.
    """
    cfg = named_run(str(run), overrides).cfg

    # torch: once the checks passed
    from lightning_modules.deployment import (
        export,
        float_run,
        prepare_int8,
        require_sound_run,
        validation_images,
    )
    from lightning_modules.networks import load_network, set_image_size

    source = run if settings.int8 is None else float_run(run, cfg)
    require_sound_run(source)
    network = load_network(source, trust=list(cfg.trust))
    set_image_size(network, cfg.data.image_size)
    images, image_source = validation_images(run, cfg, network, settings.images)
    judged = prepare_int8(
        network, form, run, cfg, quantize=bool(settings.int8), max_f1_drop=settings.max_f1_drop
    )
    return export(
        network,
        form,
        out,
        resize_mode=cfg.data.resize_mode,
        images=images,
        image_source=image_source,
        int8=judged,
        half=settings.weights == "half",
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


if __name__ == "__main__":
    run_script(main)
