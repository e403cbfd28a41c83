import torch
from torch import nn

from compression.factorization.output_mean import before_batchnorm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.normed, self.later = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = torch.relu(self.norm(self.normed(x)))
        return self.last(self.norm(torch.relu(self.later(x)))).mean((2, 3))


def test_only_what_goes_straight_into_it():
    network = Net()
    assert before_batchnorm(network, 8, ["normed", "later", "last"]) == {"normed"}
    assert before_batchnorm(network, 8, ["last"]) == set()
    assert not any(module._forward_hooks for module in network.modules())
