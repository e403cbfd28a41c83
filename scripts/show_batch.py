"""What the network will see, as a picture: `python scripts/show_batch.py data=... augment=...`."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from datamodules.contact_sheets import Section, Tile, numbered, save_contact_sheet
from lightning_modules.config import (
    NamedRun,
    ScriptParser,
    fresh_choices,
    fresh_config,
    named_run,
    run_script,
)
from lightning_modules.errors import ConfigError
from lightning_modules.runs import key_of
from lightning_modules.runs.saved_run import choice

if TYPE_CHECKING:  # they load torch, which waits until the configuration is composed
    import torch

    from datamodules.loading import Batch, ImageData

SPLITS = ("train", "val", "test")
NAMED = ("data", "augment", "mixing")  # groups that decide what is seen
SIDE, MAX_SIDE = 192, 320  # of a shown picture, in pixels
TRAINING = 1  # the stream of random draws that the first fit of a run has
MIN_SHOWN = 0.005  # of a class in a mixed picture: its weight in the targets


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, makes the batches and draws them."""
    typed = _parser().parse(arguments)
    flags = typed.flags
    run = named_run(typed.one_run(), typed.overrides) if typed.names else None
    cfg = fresh_config(typed.overrides) if run is None else run.cfg
    choices = _choices(run, typed.overrides)
    groups = [g for g in NAMED if g != "mixing" or choices[g] != "none"]
    chosen = {group: choices[group] for group in groups}
    name = "_".join([*chosen.values(), flags.split]).replace("/", "-")
    out = Path(flags.out or Path(cfg.outputs_dir) / "batches" / f"{name}.png")
    _check(flags, out)

    from lightning_modules.runs import make_data, trained_on

    data = make_data(cfg, None if run is None else trained_on(run.path).splits(cfg))
    data.prepare_data()
    data.setup()
    batches = seen_batches(data, cfg, split=flags.split, epoch=flags.epoch)
    names, legend = numbered(data.class_names)
    tiles = list(islice(_tiles(batches, names), flags.rows * flags.columns))
    words = [f"{group}={option}" for group, option in chosen.items()]
    words = [*words, "train"] if flags.split == "train" else [words[0], flags.split, "as they are"]
    words += [f"seed {cfg.seed}", f"epoch {flags.epoch}", "{} x {} pixels".format(*data.image_size)]
    sheet = {"title": ", ".join(words), "columns": flags.columns, "side": _side(data.image_size)}
    print(save_contact_sheet(out, [Section(tiles)], **sheet))
    if legend:
        print(legend)


def _choices(run: NamedRun | None, overrides: list[str]) -> dict[str, str]:
    """The option of each of the groups that decide what is seen."""
    chosen = fresh_choices(overrides)
    if run is not None:
        own = {group: choice(run.path, group) for group in {*NAMED} - set(map(key_of, overrides))}
        chosen |= {group: option for group, option in own.items() if option is not None}
    return chosen


def _tiles(batches: Iterable["Batch"], class_names: Sequence[str]) -> Iterator[Tile]:
    for images, targets in batches:
        for picture, target in zip(pictures(images), targets, strict=True):
            yield Tile(picture, caption(target, class_names))


def _side(size: Sequence[int]) -> int:
    """Of a shown picture: a whole multiple of its own near `SIDE`, or at most `MAX_SIDE`."""
    return min(max(1, round(SIDE / max(size))) * max(size), MAX_SIDE)


def seen_batches(
    data: "ImageData", cfg: DictConfig, *, split: str, epoch: int
) -> Iterator["Batch"]:
    """What the network gets in an epoch of `00_train`: images N x 3 x H x W and targets.

    Targets are class indices, int64 N, or what mixing makes of them: weights, float N x C.
    """
    from lightning_modules.training import configured_mixing, seed_step

    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    mixing = configured_mixing(cfg, data.num_classes) if split == "train" else None
    for step, batch in enumerate(loader, start=epoch * len(loader)):
        seed_step(cfg.seed, TRAINING, step)
        yield mixing(*batch) if mixing else batch


def pictures(images: "torch.Tensor") -> "Sequence":
    """A batch N x 3 x H x W of values in 0..255 as uint8 N x H x W x 3, for drawing."""
    levels = images.float().round().clamp(0, 255).byte()
    return levels.permute(0, 2, 3, 1).contiguous().numpy()


def caption(target: "torch.Tensor", class_names: Sequence[str]) -> list[str]:
    """The class of one picture, or the weights of the mixed ones, the largest first."""
    if target.ndim == 0:
        return [class_names[target]]
    weights = sorted(zip(target.tolist(), class_names, strict=True), reverse=True)
    return [f"{weight:.0%} {name}" for weight, name in weights if weight >= MIN_SHOWN]


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Saves a labelled picture of what the network gets in an epoch, after the "
        "augmentation; needs no network.",
        usage="[RUN] [data=NAME] [augment=NAME] [key=value ...] [--flags]",
        epilog="RUN: the images that a finished run was trained on, as they were augmented there.",
    )
    parser.add_argument("--rows", type=int, default=4, help="default 4")
    parser.add_argument("--columns", type=int, default=6, help="default 6")
    parser.add_argument("--epoch", type=int, default=0, help="default 0, the first")
    parser.add_argument("--split", choices=SPLITS, default="train", help="default train")
    parser.add_argument("--out", metavar="FILE", help="default: below outputs/batches")
    return parser


def _check(flags: argparse.Namespace, out: Path) -> None:
    for flag, minimum in (("rows", 1), ("columns", 1), ("epoch", 0)):
        if getattr(flags, flag) < minimum:
            raise ConfigError(f"--{flag} {getattr(flags, flag)}: it must be {minimum} or more.")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: the picture is a PNG; give a name that ends with .png.")


if __name__ == "__main__":
    run_script(main)
