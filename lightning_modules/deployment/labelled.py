"""The macro-F1 of what a backend makes of a network, on a run's own data."""

from collections.abc import Callable

import numpy as np
import torch
from omegaconf import DictConfig

from lightning_modules.deployment.backends import Call
from lightning_modules.evaluation.evaluation import split_figures
from lightning_modules.evaluation.predictions import Answers
from lightning_modules.experiment.run_context import make_data


def labelled_split(cfg: DictConfig) -> tuple[str, Callable[[Call], float]]:
    """`test` where it is labelled, else `val`; and what gives the F1 of a call on it.

    Raises:
        DataError: the run's data is not there.
    """
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    split = "test" if data.has_test else "val"

    def f1(call: Call) -> float:
        loader = data.test_dataloader() if split == "test" else data.val_dataloader()
        said, labels = [], []
        for images, true in loader:
            said.append(torch.from_numpy(np.array(call(images.numpy()))))
            labels.append(true)
        logits = torch.cat(said).log()  # of which the softmax is what was said
        return split_figures(Answers(logits, torch.cat(labels)), split=split)[f"{split}/f1"]

    return split, f1
