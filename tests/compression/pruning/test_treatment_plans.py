"""What a scan of pruned groups costs, and that it is what each of them alone would be."""

import torch
from torch import nn

from compression import Context
from compression.layer_moments import InputMoments
from compression.pruning.prune import Prune


def network():
    torch.manual_seed(0)
    convolutions = [
        layer
        for widths in ((3, 16), (16, 16), (16, 16))
        for layer in (nn.Conv2d(*widths, 3, padding=1), nn.ReLU())
    ]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))


def test_all_layers_are_looked_at_in_two_passes():
    """One over the images to fit to, one over those to judge by; the plans stay what they were."""
    net, passes = network().eval(), []
    net[-1].register_forward_hook(lambda _, __, output: passes.append(len(output)))
    batches = [(torch.rand(300, 3, 8, 8, generator=torch.Generator().manual_seed(1)), None)]
    step = Prune(importance="l2")

    def context():
        moments = InputMoments(net, lambda: batches)
        return Context(sample=batches[0][0][:2], image_size=(8, 8), moments=moments)

    treatments = step.treatments(net, context(), (0.25, 0.5))
    assert len({treatment.layer for treatment in treatments}) == 3
    passes.clear()
    together = [treatment.plan() for treatment in treatments]
    assert [images for images in passes if images > 2] == [256, 44]  # others are traces
    alone = [step.treatments(net, context(), (0.25, 0.5))[n].plan() for n in range(len(treatments))]
    assert together == alone and all(plan["refit"] for plan in together)
