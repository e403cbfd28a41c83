"""What the structure of a run's network decides of its compression, before anything is trained."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from compression.structure import check_structure
from lightning_modules.experiment.stages import Stage
from lightning_modules.networks import Network

log = logging.getLogger(__name__)


def check_stages(cfg: DictConfig, stages: Sequence[Stage], network: Network) -> None:
    """Refuse steps that cannot be done on a run's network, however it will be trained.

    A run that is taken up again was looked at when it began.

    Args:
        cfg: of the run.
        stages: of the run, in order.
        network: that enters the first of them; stays as it is.

    Raises:
        CompressionError: names the key of the first step that cannot be done.
    """
    if cfg.resume is not None:
        return
    chosen = [stage.step for stage in stages if stage.step is not None]
    steps = {f"compression.{name}": s for name, s in zip(cfg.compression, chosen, strict=True)}
    for sentence in check_structure(network, steps, network.image_size):
        log.warning("%s", sentence)
