"""What a network is made of and costs: `python scripts/describe.py [RUN] [model=... key=value]`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from datamodules.screen import ScreenTable
from lightning_modules.config import (
    OwnKey,
    ScriptParser,
    fresh_config,
    named_run,
    run_script,
    table_console,
)
from lightning_modules.errors import ConfigError
from lightning_modules.networks import check_model
from lightning_modules.runs import METRICS_FILE, key_of, read_metrics, run_directory

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from compression.cost import Profile
    from lightning_modules.networks import Network
    from lightning_modules.networks.overview import Row

KEYS = {
    "image_size": OwnKey("N|[H,W]", "pixels; those of the data where it is not given"),
    "num_classes": OwnKey("N", "those of the data where it is not given"),
    "support": OwnKey("true|false", "also try all that can be done with it, in a minute", "false"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, prints the table and the totals, and draws the picture."""
    typed = _parser().parse(arguments)
    runs, flags, own = typed.names, typed.flags, typed.own
    asked = _flag("support", own.get("support", "false"))
    if len(runs) > 1:
        raise ConfigError(f"One network at a time: {' and '.join(runs)} were named.")
    if flags.f1 is not None and not 0 <= flags.f1 <= 1:
        raise ConfigError(f"--f1 {flags.f1}: an F1 lies in 0..1.")
    if runs:
        network, size, cfg = saved(runs[0], typed.overrides, own)
    else:
        network, size, cfg = planned(typed.overrides, own)

    from compression.cost import profile_network
    from compression.onnx import counted_network
    from lightning_modules.networks.overview import overview

    counted = counted_network(network)
    found = profile_network(counted, size)
    rows = overview(counted, found, convention=flags.convention, layers=flags.layers)
    title = f"{_title(cfg)}, {size[0]} x {size[1]} pixels, {network.num_classes} classes"
    print_table(rows, title)
    print_steps(network.recipe.layers(trust=list(cfg.trust)))
    if runs:
        print_savings(runs[0])
    for line in totals(network, found, cfg, f1=flags.f1):
        print(line)
    if asked:
        print_support(network if runs else random_network(cfg, network))
    if flags.figure:
        from lightning_modules.reporting.pictures import save_bars

        print(f"figure      {save_bars(rows, flags.figure, title=f'MACs of {title}')}")


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Prints a network as a table of its blocks, with what each costs. Without a "
        "RUN it is built without weights, which takes a second whatever its size.",
        usage="[RUN] [model=NAME key=value ...] [--flags]",
        keys=KEYS,
    )
    parser.add_argument("--f1", type=float, metavar="F1", help="also print the score at this F1")
    parser.add_argument("--figure", metavar="PATH", help="save a picture of the MACs per block")
    parser.add_argument("--layers", action="store_true", help="a row for each layer, not block")
    parser.add_argument(
        "--convention",
        choices=("standard", "leaderboard2021"),
        default="standard",
        help="how the table counts MACs (the totals have both)",
    )
    return parser


def planned(overrides: list[str], own: dict[str, str]) -> tuple["Network", Any, DictConfig]:
    """The network that a command would train, without weights.

    Args:
        overrides: Hydra overrides over `conf/config.yaml`.
        own: the script's own keys.
    """
    cfg = fresh_config(overrides)
    check_model(cfg.model, "model")
    size = _size(own, cfg)
    classes = _number(own["num_classes"]) if "num_classes" in own else _classes(cfg)

    from lightning_modules.networks import meta_network  # torch: once the checks passed

    network = meta_network(cfg.model, num_classes=classes, image_size=size)
    return network, network.image_size, cfg


def saved(
    name: str, overrides: list[str], own: dict[str, str]
) -> tuple["Network", Any, DictConfig]:
    """The network of a finished run (a directory, or `last`), with what was done to it.

    Args:
        name: the run.
        overrides: Hydra overrides over the run's saved configuration.
        own: the script's own keys.
    """
    if "num_classes" in own or any(key_of(word).startswith("model") for word in overrides):
        raise ConfigError(f"{name} has its own model and classes; describe others without a RUN.")
    run = named_run(name, overrides)

    from compression.schema import height_width
    from lightning_modules.deployment import require_sound_run
    from lightning_modules.networks import load_network

    require_sound_run(run.path)
    network = load_network(run.path, trust=list(run.cfg.trust))
    return network, height_width(_size(own, run.cfg)), run.cfg


def totals(network: "Network", found: "Profile", cfg: DictConfig, *, f1: float | None) -> list[str]:
    """The lines below the table: parameters, MACs in both conventions, memory, file, score."""
    from compression.cost import count_params, file_bytes
    from lightning_modules.evaluation import macs_score

    macs = {name: sum(counts.values()) for name, counts in found.macs.items()}
    lines = [
        f"parameters  {count_params(network):,}",
        f"MACs        {macs['standard']:,} standard, {macs['leaderboard2021']:,} leaderboard2021",
        f"activations {found.activation_bytes:,} bytes at most, one image",
        f"file        {file_bytes(network):,} bytes of weights",
    ]
    if f1 is not None:
        constants = cfg.score.macs if "score" in cfg else {}
        score = macs_score(f1=f1, macs=macs["leaderboard2021"], **constants)
        lines.append(f"score       {score:.4f} at F1 {f1}, by score/macs (lower is better)")
    return lines


def print_table(rows: list["Row"], title: str) -> None:
    """Prints the rows, aligned."""
    table = ScreenTable(title=title)
    for column in ("row", "kind", "arguments", "output"):
        table.add_column(column)
    for column in ("parameters", "MACs", "ratio"):
        table.add_column(column, number=True)
    total = max(sum(row.macs for row in rows), 1)
    for row in rows:
        shape = "" if row.shape is None else " x ".join(map(str, row.shape))
        numbers = (f"{row.params:,}", f"{row.macs:,}", f"{row.macs / total:.1%}")
        table.add_row(row.name, row.kind, row.arguments, shape, *numbers)
    table.print(table_console())


def print_steps(layers: list[tuple[str, str, str]]) -> None:
    """Prints what compression did to each layer and why: (step, layer, what)."""
    if not layers:
        return
    table = ScreenTable(title="what was done to each layer")
    for column in ("step", "layer", "what"):
        table.add_column(column)
    for row in layers:
        table.add_row(*row)
    table.print(table_console())


def print_support(network: "Network") -> None:
    """Tries and prints what can be done with a network, and why other things cannot."""
    from lightning_modules.deployment import supported

    table = ScreenTable(title="what can be done with it")
    for column in ("what", "", "reason, or how far"):
        table.add_column(column)
    kind = None
    for answer in supported(network):
        if kind not in (None, answer.kind):
            table.add_section()
        kind = answer.kind
        table.add_row(answer.name, answer.answer, answer.reason)
    table.print(table_console())


def random_network(cfg: DictConfig, outline: "Network") -> "Network":
    """The network that a command would train, with the weights that it would begin with.

    Args:
        cfg: of the command.
        outline: the same network on the meta device.
    """
    from lightning_modules.networks import build_network
    from lightning_modules.registry import plain

    node = {**plain(cfg.model), "pretrained": False, "weights": None}
    size = outline.image_size
    return build_network(node, num_classes=outline.num_classes, image_size=size).eval()


def print_savings(name: str) -> None:
    """Prints, of each step of a run that was measured, MACs saved against milliseconds saved."""
    from lightning_modules.evaluation import table_of

    run = run_directory.resolve(name, run_directory.FINISHED)
    for step in read_metrics(run).get("steps", ()) if (run / METRICS_FILE).is_file() else ():
        if step.get("layers"):
            table = table_of(step["name"], step["layers"])
            table.print(table_console())


def _size(own: dict[str, str], cfg: DictConfig) -> Any:
    if "image_size" not in own:
        size = cfg.data.image_size
        return size if isinstance(size, int) else list(size)
    sides = [_number(side) for side in own["image_size"].strip("[]").split(",")]
    return sides[0] if len(sides) == 1 else sides


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no whole number.") from None


def _flag(key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ConfigError(f"{key}={text} is not allowed; give {key}=true or {key}=false.")
    return text == "true"


def _classes(cfg: DictConfig) -> int:
    from lightning_modules.runs import build_source

    return len(build_source(cfg.data).check())


def _title(cfg: DictConfig) -> str:
    return cfg.model.get("variant") or cfg.model.get("name") or cfg.model._target_


if __name__ == "__main__":
    run_script(main)
