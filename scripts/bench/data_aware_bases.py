"""The networks that `data_aware` treats: each is a run of run.py, made anew where it is absent."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.runs import METRICS_FILE, holder, quote
from scripts.bench.measuring import ROOT, start_run

SHARED = ROOT.parent / "shared"  # real images and weights, where they lie beside the project
PLAIN = ("logger=none", "pictures=false", "report=false", "latency.backend=null")
# Words of the network, {shared} being where weights lie, and the epochs that it is trained for.
NETWORKS: dict[str, tuple[tuple[str, ...], int]] = {
    "lite0": (
        (
            "model=timm",
            "model.name=tf_efficientnet_lite0",
            "model.weights={shared}/weights/tf_efficientnet_lite0.safetensors",
        ),
        8,
    ),
    "resnet18_w32": (
        ("model=timm", "model.name=resnet18", "+model.channels=[32,64,128,256]"),
        20,
    ),
    "mobilenet_v3_small": (("model=mobilenet_v3_small",), 30),
    "shufflenet_g3": (
        ("model=shufflenet_g3", "model.weights={shared}/weights/shufflenet_g3_wd4.pth"),
        30,
    ),
    **{
        name: (("model=timm", f"model.name={name}"), 3)
        for name in ("mobileone_s0", "repvgg_a2", "fastvit_t8", "repvit_m0_9")
    },
}


class RunFailedError(Exception):
    """A run of run.py that ended without metrics; says its last line.

    Args:
        log: what it printed.

    Attributes:
        refused: whether that is a sentence on what cannot be done, rather than a crash or a kill.
    """

    def __init__(self, log: str) -> None:
        super().__init__("".join(log.strip().splitlines()[-1:]))
        self.refused = str(self).startswith("error: ")


@dataclass(frozen=True, kw_only=True)
class Base:
    """A trained network.

    Attributes:
        name: of `NETWORKS`.
        data: folder of images below `data/` of what is shared.
        size: pixels, the side of a square.
        seed: of the training.
    """

    name: str
    data: str
    size: int
    seed: int

    def words(
        self, shared: Path = SHARED, *, weights: Path | None = None, epochs: int | None = None
    ) -> list[str]:
        """For run.py: network, images, length, seed.

        Args:
            shared: where `data/` and `weights/` lie.
            weights: another file to start from.
            epochs: another length.
        """
        network, usual = NETWORKS[self.name]
        words = [word.format(shared=shared) for word in network]
        if weights is not None:
            words = [word for word in words if not word.startswith("model.weights=")]
            words.append(f"model.weights={quote(str(weights))}")
        return [
            *words,
            "data=image_folder",
            f"data.root={quote(str(shared / 'data' / self.data))}",
            f"data.image_size={self.size}",
            f"trainer.max_epochs={epochs or usual}",
            f"seed={self.seed}",
        ]

    def run(self, folder: Path) -> Path:
        """Where its run lies."""
        return folder / "bases" / f"{self.name}_{self.data}_{self.size}_{self.seed}"

    def train(self, folder: Path, shared: Path = SHARED) -> Path:
        """Its finished run, begun or continued where that is missing.

        Raises:
            RunFailedError: it could not be trained.
        """
        run = self.run(folder)
        finish(run, self.words(shared))
        return run


def finish(run: Path, words: list[str]) -> None:
    """Runs `run.py WORDS` in a folder; leaves it alone once it is done, continues it before that.

    Where it cannot be continued, as when this project has changed since, it begins anew.

    Raises:
        RunFailedError: it ended without metrics, or another process works there.
    """
    continued = [f"resume={run}"], (run / ".hydra").is_dir()
    anew = [*words, *PLAIN, f"hydra.run.dir={run}"], True
    log = Path(f"{run}.log")
    for command, possible in (continued, anew):
        if (run / METRICS_FILE).is_file():
            return
        if at_work := holder(run):
            raise RunFailedError(f"{run} is at work: {at_work}")
        if possible:
            if command is anew[0]:
                shutil.rmtree(run, ignore_errors=True)
            run.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as output:
                start_run(command, output=output).wait()
    if not (run / METRICS_FILE).is_file():
        raise RunFailedError(log.read_text(errors="replace"))
