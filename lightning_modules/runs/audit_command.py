"""The command that shows the duplicates a run warns of."""

import shlex

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_modules.config.command_line import key_of


def audit_command(cfg: DictConfig) -> str:
    """`python scripts/audit_data.py` with the words that chose the data of this run or script."""
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        chosen = [word for word in hydra.overrides.task if _is_of_data(key_of(word))]
        words = [f"data={hydra.runtime.choices['data']}", *chosen]
    else:
        words = [f"data={cfg.data.name}", f"data.root={cfg.data.root}"]
    return shlex.join(["python", "scripts/audit_data.py", *words])


def _is_of_data(key: str) -> bool:
    # An experiment may set keys of the data too.
    return key.startswith("data.") or key == "experiment"
