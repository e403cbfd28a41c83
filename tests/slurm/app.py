"""A multirun whose jobs only wait, free of torch; its configuration is `app.yaml`."""

import json
import os
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_modules.config.command_line import report_errors
from lightning_modules.slurm import register_launcher_defaults

register_launcher_defaults()


@hydra.main(version_base="1.3", config_path=".", config_name="app")
def main(cfg: DictConfig) -> float:
    """Waits, noting each start, and leaves what a run leaves."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (folder / "starts").open("a") as file:
        file.write(f"{os.environ['SLURM_JOB_ID']} {os.environ.get('SLURM_RESTART_COUNT', 0)}\n")
    if cfg.failing:
        raise ValueError("a bug of the task")
    done = folder / "tenths"
    for _ in range(len(done.read_bytes()) if done.exists() else 0, int(10 * cfg.seconds)):
        time.sleep(0.1)
        with done.open("a") as file:
            file.write(".")
    (folder / "metrics.json").write_text(json.dumps({"val/f1": cfg.value / 10, "seed": 0}))
    return cfg.value / 10


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with report_errors():
        main()
