"""The auxiliary losses of a training together."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.networks import Features


@dataclass(frozen=True)
class AuxiliaryHead:
    """One head on one module.

    Attributes:
        name: of its node in the configuration.
        path: of the module.
        weight: of its loss.
        head: (feature, images, targets) -> scalar.
    """

    name: str
    path: str
    weight: float
    head: nn.Module


class AuxiliaryLosses(nn.Module):
    """Weighted extra losses on what modules of `network` give.

    The heads are trained and stand in checkpoints beside the network, but are no part of it: it
    is saved, measured and exported without them.

        with auxiliary.features:
            loss = objective(network(images), targets)
            extra = auxiliary(images, targets)

    Args:
        network: what is trained; it only gets hooks, while `features` is entered.
        attachments: none means no extra losses.
    """

    def __init__(self, network: nn.Module, attachments: Sequence[AuxiliaryHead] = ()) -> None:
        super().__init__()
        self.heads = nn.ModuleList(attachment.head for attachment in attachments)
        self.features = Features(
            network,
            [attachment.path for attachment in attachments],
            whole=[a.path for a in attachments if getattr(a.head, "whole", False)],
        )
        self._attachments = tuple(attachments)

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name, after a forward pass; images N x 3 x H x W in 0..255."""
        losses: dict[str, Tensor] = {}
        for attachment in self._attachments:
            feature = self.features.outputs[attachment.path]
            loss = attachment.weight * attachment.head(feature, images, targets)
            losses[attachment.name] = losses.get(attachment.name, 0) + loss
        return losses
