"""The rows of `data_aware`: which network is treated how, and what is to come out; needs no torch.

A block is one question: `untuned` (what a network still knows right after surgery), `tuned` (how
much of that is left after so many epochs), `optimal` (a latency shared out), `merge` and `int8`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any

from lightning_modules.runs import leaves, quote
from scripts.bench.data_aware_bases import Base

SEEDS = (0, 1, 2)
SHARES = (0.8, 0.65, 0.5)  # of all MACs of the network
# Of fine-tunings, where not the training's own: in one epoch at 2e-3, pretrained weights forget.
RATES = {"lite0": 5e-4, "int8 trained": 2e-4}
WHOLE = "tuned on"  # the control: the base itself, trained for as many epochs more


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What is done to a network.

    Attributes:
        step: by its name; None: nothing, it is only tuned on.
        settings: of the step, without its target.
        images: whether the step and BatchNorm's recalibration see training images.
    """

    step: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    images: bool = True


def _factorized(step: str) -> dict[str, Treatment]:
    ways: dict[str, dict[str, Any]] = {
        "blind": {"whiten": False, "ranks": "energy"},
        "whitened, error": {"whiten": True, "ranks": "error"},
        "whitened, energy": {"whiten": True, "ranks": "energy"},
        "blind, ratio": {"whiten": False, "ranks": "ratio"},
    }
    named = {f"{step}, {way}": Treatment(step=step, settings=s) for way, s in ways.items()}
    alone = Treatment(step=step, settings=ways["blind"], images=False)
    return {**named, f"{step}, no images": alone}


BLIND_INT8 = {"rounding": "nearest", "bias_correction": False, "float_first": 0, "max_kl": None}
TREATMENTS: dict[str, Treatment] = {
    WHOLE: Treatment(step=None),
    **_factorized("svd"),
    **_factorized("tucker"),
    "prune, l2": Treatment(step="prune", settings={"importance": "l2", "refit": False}),
    "prune, l2, refit": Treatment(step="prune", settings={"importance": "l2", "refit": "auto"}),
    "prune, taylor": Treatment(step="prune", settings={"importance": "taylor", "refit": False}),
    "prune, taylor, refit": Treatment(
        step="prune", settings={"importance": "taylor", "refit": "auto"}
    ),
    "prune, no images": Treatment(
        step="prune", settings={"importance": "l2", "refit": False}, images=False
    ),
    "prune, optimal": Treatment(
        step="prune", settings={"importance": "taylor", "ratios": "optimal"}
    ),
    "prune, sensitivity": Treatment(
        step="prune", settings={"importance": "taylor", "ratios": "sensitivity"}
    ),
    "hybrid": Treatment(step="hybrid", settings={"importance": "taylor"}),
    "merge": Treatment(step="merge"),
    "int8, blind": Treatment(step="quantize", settings=BLIND_INT8),
    "int8": Treatment(step="quantize"),
    "int8 trained": Treatment(step="quantize_aware"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What tells a line of the table from every other.

    Attributes:
        block: the question that it belongs to.
        base: the network, by its name in `data_aware_bases`.
        data: the folder of images.
        size: pixels, the side of a square.
        seed: of the base and of what is done to it.
        treatment: by its name in `TREATMENTS`.
        target: `macs`, `latency`, or nothing where the step has no target.
        share: of that cost, that is asked for; 0 where the step has no target.
        epochs: of the fine-tuning, or of the control.
    """

    block: str
    base: str
    data: str
    size: int
    seed: int
    treatment: str
    target: str = ""
    share: float = 0.0
    epochs: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """As it stands in the CSV."""
        return tuple(map(str, astuple(self)))

    @property
    def of(self) -> Base:
        """The network that is treated."""
        return Base(name=self.base, data=self.data, size=self.size, seed=self.seed)

    @property
    def timed(self) -> bool:
        """Whether its latency is measured: right after surgery it differs little among seeds."""
        return self.block != "untuned" or self.seed == SEEDS[0]

    @property
    def settings(self) -> dict[str, Any]:
        """Of the step, its target among them."""
        target = {"target": {self.target: self.share}} if self.target else {}
        return {**TREATMENTS[self.treatment].settings, **target}

    def run(self, folder: Path) -> Path:
        """Where it is tuned, until it stands in the table."""
        return folder / "runs" / "_".join(re.sub(r"\W+", "-", part) for part in self.key if part)

    def words(self, folder: Path, shared: Path) -> list[str]:
        """For run.py: the step and its fine-tuning, or the base trained on."""
        base = self.of.run(folder)
        if self.treatment == WHOLE:
            weights = base / "model" / "weights.safetensors"
            own = [f"optimizer.lr={rate}"] if (rate := RATES.get(self.base)) else []
            return [*self.of.words(shared, weights=weights, epochs=self.epochs), *own]
        step = TREATMENTS[self.treatment].step
        tuning = {"epochs": self.epochs, "lr": RATES.get(self.treatment, RATES.get(self.base))}
        settings = {**self.settings, "fine_tuning": tuning}
        if self.block == "int8":
            settings["max_f1_drop"] = None  # what is lost is the figure, no reason to refuse
        own = [f"compression.{step}.{'.'.join(k)}={quote(v)}" for k, v in leaves(settings)]
        return [f"from_run={quote(str(base))}", f"+compression={step}", *own, f"seed={self.seed}"]


KEYS = tuple(f.name for f in fields(Row))


def untuned() -> Iterator[Row]:
    """Right after surgery, at three shares of the MACs; what explains them at one seed only."""
    pruned = ("prune, l2", "prune, taylor, refit", "prune, no images")
    ways, reference_ways = (
        ("blind", "whitened, error", "no images"),
        ("whitened, energy", "blind, ratio"),
    )
    treatments = {
        "lite0": [*(f"svd, {way}" for way in ways), *pruned],
        "resnet18_w32": [f"tucker, {way}" for way in ways],
    }
    further = {
        "lite0": [
            "prune, l2, refit",
            "prune, taylor",
            "prune, optimal",
            *(f"svd, {way}" for way in reference_ways),
        ],
        "resnet18_w32": [f"tucker, {way}" for way in reference_ways],
    }
    places = [("lite0", "trashnet150", 112), ("lite0", "flowers128", 112)]
    places.append(("resnet18_w32", "trashnet150", 80))
    every = [(treatments, seed) for seed in SEEDS] + [(further, SEEDS[0])]
    for (chosen, seed), (base, data, size) in product(every, places):
        for treatment, share in product(chosen[base], SHARES):
            yield Row(
                block="untuned",
                base=base,
                data=data,
                size=size,
                seed=seed,
                treatment=treatment,
                target="macs",
                share=share,
            )


def tuned() -> Iterator[Row]:
    """Half of the MACs, and epochs after it; the control has all MACs and as many epochs."""
    compressed = ["svd, whitened, error", "svd, blind", "prune, taylor, refit", "prune, l2"]
    for seed, epochs in product(SEEDS, (1, 3, 10, 30)):
        if epochs == 30 and seed != SEEDS[0]:
            continue
        for treatment in (WHOLE, *compressed):
            asked = {} if treatment == WHOLE else {"target": "macs", "share": 0.5}
            yield Row(
                block="tuned",
                base="lite0",
                data="trashnet150",
                size=80,
                seed=seed,
                treatment=treatment,
                epochs=epochs,
                **asked,
            )


def optimal() -> Iterator[Row]:
    """Six tenths of the time, against the two rules that were named beforehand."""
    bases = ("shufflenet_g3", "mobilenet_v3_small", "resnet18_w32", "lite0")
    treatments = ("prune, optimal", "prune, taylor, refit", "prune, sensitivity", "hybrid")
    for seed, base, treatment in product(SEEDS, bases, treatments):
        yield Row(
            block="optimal",
            base=base,
            data="trashnet150",
            size=80,
            seed=seed,
            treatment=treatment,
            target="latency",
            share=0.6,
            epochs=10,
        )


def merge() -> Iterator[Row]:
    """Networks of branches, hardly trained: exported and opened again, they must say the same."""
    sizes = {"mobileone_s0": 96, "repvgg_a2": 64, "fastvit_t8": 96, "repvit_m0_9": 96}
    for base, size in sizes.items():
        yield Row(
            block="merge", base=base, data="trashnet150", size=size, seed=0, treatment="merge"
        )


def int8() -> Iterator[Row]:
    """After training, without and with the data's say in the weights, and trained for it."""
    bases = ("mobilenet_v3_small", "lite0")
    treatments = {"int8, blind": 0, "int8": 0, "int8 trained": 3}
    for seed, base, (treatment, epochs) in product(SEEDS, bases, treatments.items()):
        yield Row(
            block="int8",
            base=base,
            data="trashnet150",
            size=80,
            seed=seed,
            treatment=treatment,
            epochs=epochs,
        )


BLOCKS = {"untuned": untuned, "tuned": tuned, "optimal": optimal, "merge": merge, "int8": int8}
