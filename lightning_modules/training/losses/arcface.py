"""ArcFace: an additive margin on the angle between features and class."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.errors import ConfigError
from lightning_modules.networks.cosine_head import CosineLinear
from lightning_modules.training.losses.schema import ArcFaceSettings
from lightning_modules.training.losses.weighted import WeightedLoss, probabilities


class ArcFace(ArcFaceSettings, WeightedLoss):
    """Cross-entropy of scale * cos(angle + margin) for the target class, scale * cos(angle) else.

    Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", section
    3.1. The logits are those of a cosine head, scale * cos(angle): at inference there is no margin.
    A soft target's class gets the margin times its share, cos(angle + margin * share); a hard
    target has all of it. Where the angle and its margin pass pi, and the cosine would rise again,
    it falls on along cos(angle) - margin sin(margin), as in the paper's own code.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes in -scale..scale, targets int64 N or N x classes -> scalar."""
        targets = probabilities(targets, logits.shape[1])
        nearly = 1 - torch.finfo(torch.float32).eps  # at 1 the angle has no slope
        cosine = (logits.float() / self.scale).clamp(-nearly, nearly)  # N x classes
        margin = self.margin * targets
        widened = cosine * margin.cos() - (1 - cosine**2).sqrt() * margin.sin()
        beyond = cosine < (math.pi - margin).cos()
        widened = torch.where(beyond, cosine - margin * margin.sin(), widened)
        return self.mean(-functional.log_softmax(self.scale * widened, dim=1), targets)

    def check_network(self, network: nn.Module) -> None:
        """Refuses a network whose logits are no cosines times this scale.

        Raises:
            ConfigError: says what to type.
        """
        scales = [m.scale for m in network.modules() if isinstance(m, CosineLinear)]
        if not scales:
            raise ConfigError(
                "ArcFace needs a network with a cosine head, and this one has none; train with "
                "loss=arcface, which gives it one, or give model.cosine_scale."
            )
        if scales[-1] != self.scale:
            raise ConfigError(
                f"loss.scale={self.scale:g}, but the network's head has the scale "
                f"{scales[-1]:g}; leave loss.scale out and give model.cosine_scale alone."
            )
