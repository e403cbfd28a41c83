"""What the loggers' tests share: a run that logs a little, and what it has to show."""

from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lightning_modules.reporting import RunResults, run_loggers
from lightning_modules.search import study  # noqa: F401  (its settings of the loggers of Alembic)


@pytest.fixture
def results(tmp_path):
    """The results of a run of two classes, with a picture 8 pixels high and 6 wide."""
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "weights.safetensors").write_bytes(b"weights")
    picture = tmp_path / "run" / "figures" / "val_worst.png"
    picture.parent.mkdir()
    Image.new("RGB", (6, 8), (10, 20, 30)).save(picture)
    metrics = {
        "val/f1": 0.5, "val/f1/b & c": 0.2, "cost/macs": 7, "seed": 1, "kept": "last",
        "steps": [{}], "confusion": {"classes": ["a", "b & c"], "val": [[1, 1], [0, 2]]},
    }  # fmt: skip
    return RunResults(metrics, [picture], model, {"search/pruned": True})


@pytest.fixture
def run_of(results):
    """Runs two stages of two epochs, of three batches each, with one logger; gives its hints."""

    def ran(node, *, fails=False):
        cfg = OmegaConf.create({"logger": {"a": node}, "seed": 3, "model": {"name": "m"}})
        folder, search = results.model.parent, lambda: {"params": {"+model.x y?": 1}}
        with run_loggers(cfg, folder, title="a-title", group="a-group", search=search) as loggers:
            for number, stage in enumerate(("00_train", "01_tucker")):
                trainer = SimpleNamespace(num_training_batches=3, accumulate_grad_batches=2)
                loggers.start_fit(trainer, epochs_before=2 * number)
                for epoch in range(2):
                    for logger in loggers.of_stage(stage):
                        values = {"val/f1": torch.tensor(0.25 * epoch).item(), "epoch": epoch}
                        logger.log_metrics(values, step=2 * epoch + 1)
                        logger.save()
                for logger in loggers.of_stage(stage):
                    logger.finalize("success")
            if fails:
                raise ZeroDivisionError
            loggers.log_results(results)
        return loggers.hints

    return ran
