"""Building from rows in one line."""

import pytest

from lightning_modules.networks.blocks.network import BlockNetwork

HEAD = [[1, "GlobalAvgPool", []], [1, "FixedConv", ["num_classes", 1]]]


@pytest.fixture
def parse():
    """A network of rows with a head, or without one where the rows end in their own."""

    def parsed(rows, *, head=True, num_classes=5, **settings):
        blocks = [*rows, *HEAD] if head and not isinstance(rows, dict) else rows
        return BlockNetwork(num_classes=num_classes, blocks=blocks, **settings)

    return parsed
