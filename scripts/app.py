"""A page where networks say what they see in a picture: `python scripts/app.py RUN|FILE ...`."""

import argparse
import os
import socket

from lightning_modules.config.command_line import report_errors
from lightning_modules.config.extras import require_extra
from lightning_modules.errors import ConfigError
from lightning_modules.runs.overrides import key_of

OWN_KEYS = ("host", "port")


def main() -> None:
    """Parses the command line, opens the networks and serves the page."""
    words = _parser().parse_args().words
    own = dict(word.split("=", 1) for word in words if key_of(word) in OWN_KEYS)
    names = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word and key_of(word) not in OWN_KEYS]
    require_extra("app", "gradio", what="The page")
    if not names:
        raise ConfigError("Name one or more runs (or `last`), or exported files.")
    host, port = own.get("host", "127.0.0.1"), _port(own.get("port", "7860"))

    from lightning_modules.deployment.load_model import find_model, open_model

    paths = [find_model(name, overrides) for name in names]
    _require_free(host, port)

    from datamodules.workers.threads import cores  # torch from here on: the names are right

    classifiers = [open_model(path, overrides, threads=cores()) for path in paths]
    for classifier in classifiers:
        classifier.warm_up()
    # Before gradio is imported: it would ask for its newest version, and count its users.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}

    from lightning_modules.deployment.app.page import build_page, launch

    page = build_page(classifiers)
    launch(page, host=host, port=port)
    print(f"page        http://{host}:{port} (Ctrl-C ends)", flush=True)
    page.block_thread()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"port={text}: a number in 1..65535.")
    return int(text)


def _require_free(host: str, port: int) -> None:
    """Refuses an address that cannot be listened at."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be used ({error.strerror or error}); give another port=."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Serves a page on which a picture is dropped or taken, and each network says "
        "its classes, probabilities and milliseconds, side by side.",
        usage="%(prog)s RUN|FILE [RUN|FILE ...] [host=127.0.0.1] [port=7860] [key=value ...]",
        epilog="RUN: a run directory, or `last`. FILE: of scripts/export.py (.onnx, .pt2, .xml, "
        ".pte). Own keys: host=0.0.0.0 lets others in (a camera needs https there, or localhost), "
        "port=N. key=value: Hydra overrides over the runs' configurations, such as data.fit=pad.",
    )
    parser.add_argument("words", nargs="+", metavar="RUN|FILE | key=value")
    return parser


if __name__ == "__main__":
    with report_errors():
        try:
            main()
        except KeyboardInterrupt:
            raise SystemExit(0) from None
