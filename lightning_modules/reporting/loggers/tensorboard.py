"""A run's TensorBoard file: curves, hyperparameters beside the final metrics, pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_modules.reporting.loggers.results import RunResults
from lightning_modules.runs import bash_word, outputs_root, short_path


class TensorBoardRun(TensorBoardLogger):
    """Lightning's logger with one folder a run, which a resumed run goes on in, and pictures.

    Args:
        save_dir: the run directory.
        name: the folder below it.
        settings: other arguments of `TensorBoardLogger`.
    """

    def __init__(self, save_dir: str, name: str = "tensorboard", **settings: Any) -> None:
        super().__init__(save_dir, name, version="", default_hp_metric=False, **settings)

    def log_results(self, results: RunResults) -> None:
        """Logs the final metrics, the hyperparameters that led to them, and the pictures."""
        self.log_hyperparams(self.hparams, results.scalars, results.step)
        for path in results.pictures:
            pixels = np.asarray(Image.open(path).convert("RGB"))  # height x width x 3
            self.experiment.add_image(
                f"figures/{path.stem}", pixels, results.step, dataformats="HWC"
            )

    @property
    def hint(self) -> tuple[str, str]:
        """The command that shows the curves of all runs, or of this one where it lies elsewhere."""
        run, root = Path(self.save_dir), outputs_root().absolute()
        folder = Path(short_path(root if root in run.parents else run))
        return "curves", f"tensorboard --logdir {bash_word(folder)}"
