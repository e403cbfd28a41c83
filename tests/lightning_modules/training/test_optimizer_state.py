import torch
from torch import nn

from compression import compress
from compression.pruning.prune import Prune
from lightning_modules.training.optimizer_state import OptimizerState


def fitted(network: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({"network": network})


def test_moments_follow_the_surviving_channels():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    images, module = torch.rand(4, 3, 12, 12), fitted(network)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        network(images).square().sum().backward()
        optimizer.step()
    # A moment that equals its parameter has to be cut as the parameter is.
    for parameter, state in optimizer.state.items():
        state["exp_avg"] = parameter.detach().clone()
    step, optimizer_state = Prune(ratio=0.5), OptimizerState()
    smaller, recipe = compress(network, [step], sample=images)
    optimizer_state.capture(optimizer, module)
    optimizer_state.prune(step, recipe.entries[0].plan)
    module = fitted(smaller)
    going_on = optimizer_state.restore(torch.optim.AdamW(module.parameters(), lr=1e-2), module)
    assert smaller[3].weight.shape != network[3].weight.shape
    assert len(going_on.state) == len(list(smaller.parameters()))
    for parameter, state in going_on.state.items():
        assert torch.equal(state["exp_avg"], parameter) and state["step"] == 3
    smaller(images).square().sum().backward()
    going_on.step()


def test_what_has_another_shape_starts_anew():
    module = fitted(nn.Linear(2, 3))
    optimizer_state = OptimizerState()
    optimizer_state.states = {"network.weight": {"exp_avg": torch.zeros(3, 5)}, "gone": {"step": 1}}
    assert not optimizer_state.restore(torch.optim.AdamW(module.parameters()), module).state
