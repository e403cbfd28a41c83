"""A page where networks say what they see in a picture: `python scripts/app.py RUN|FILE ...`."""

import contextlib
import os
import socket
from collections.abc import Sequence

from lightning_modules.config import OwnKey, ScriptParser, run_script
from lightning_modules.errors import ConfigError
from lightning_modules.registry import require_extra

KEYS = {
    "host": OwnKey(
        "ADDRESS", "0.0.0.0 lets others in; a camera needs https there, or localhost", "127.0.0.1"
    ),
    "port": OwnKey("N", "in 1..65535", "7860"),
    "format": OwnKey("NAME", "of files in a format of your own"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, opens the networks and serves the page until Ctrl-C."""
    typed = _parser().parse(arguments)
    require_extra("app", "gradio", what="The page")
    if not typed.names:
        raise ConfigError("Name one or more runs (or `last`), or exported files.")

    from lightning_modules.deployment.schema import PageSettings  # pydantic: not for `--help`

    settings = typed.settings(PageSettings)
    host, port = settings.host, settings.port

    from lightning_modules.deployment import find_model, format_named, open_model, require_used

    form = None if settings.format is None else format_named(settings.format)
    paths = [find_model(name, typed.overrides, named=form) for name in typed.names]
    require_used(form, paths)
    _require_free(host, port)

    from datamodules.workers import cores  # torch from here on: the names are right

    models = [open_model(path, typed.overrides, threads=cores(), named=form) for path in paths]
    for model in models:
        model.warm_up()
    # Before gradio is imported: it would ask for its newest version, and count its users.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}

    from lightning_modules.deployment.app import build_page, launch

    page = build_page(models)
    launch(page, host=host, port=port)
    print(f"page        http://{host}:{port} (Ctrl-C ends)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        page.block_thread()


def _require_free(host: str, port: int) -> None:
    """Refuses an address that cannot be listened at."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be used ({error.strerror or error}); give another port=."
        ) from error


def _parser() -> ScriptParser:
    return ScriptParser(
        description="Serves a page on which a picture is dropped or taken, and each network says "
        "its classes, probabilities and milliseconds, side by side.",
        usage="RUN|FILE [RUN|FILE ...] [host=127.0.0.1] [port=7860] [format=NAME] [key=value ...]",
        keys=KEYS,
        epilog="RUN: a run directory, or `last`. FILE: of scripts/export.py (.onnx, .pt2, .xml, "
        ".pte). key=value: Hydra overrides over the runs' configurations, such as "
        "data.resize_mode=pad.",
    )


if __name__ == "__main__":
    run_script(main)
