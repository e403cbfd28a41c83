"""Every network of torchvision and forty of timm: built, described, trained a step, saved, loaded.

The table of results is written to `zoo.md` in the folder $MODEL_DIET_TABLES, where that is set.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import pytest
import torch

from compression.cost.activations import activation_bytes
from compression.cost.macs import count_macs, count_params
from compression.cost.profile import profile_network
from compression.recalibration import recalibrate
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, meta_network, save_network
from lightning_modules.networks.overview import overview
from lightning_modules.networks.schema import FAMILIES

pytestmark = pytest.mark.slow

# The smallest that a network takes is used; at 32 many end in a map of 1 x 1, and BatchNorm over
# two such values gives the deepest ones infinite gradients.
SIZES = (64, 80, 96, 128, 160, 224, 240, 256)
DESCRIBED = ("regnet_y_128gf", "vit_h_14")  # 2.5 GB of weights each
TORCHVISION = [(family, name) for family, names in FAMILIES.items() for name in names]
TIMM = [
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "coat_tiny",
    "coatnet_nano_rw_224",
    "convit_tiny",
    "convmixer_768_32",
    "convnextv2_atto",
    "crossvit_tiny_240",
    "cspresnet50",
    "davit_tiny",
    "deit_tiny_patch16_224",
    "dla34",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientvit_b0",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "gcvit_xxtiny",
    "ghostnet_050",
    "hgnetv2_b0",
    "hrnet_w18_small",
    "lcnet_050",
    "levit_128s",
    "maxvit_rmlp_pico_rw_256",
    "mixer_s16_224",
    "mobilenetv4_conv_small",
    "mobileone_s0",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "nf_regnet_b0",
    "pit_ti_224",
    "poolformer_s12",
    "pvt_v2_b0",
    "repvit_m0_9",
    "res2net50_26w_4s",
    "rexnet_100",
    "starnet_s1",
    "swinv2_tiny_window8_256",
    "tiny_vit_5m_224",
    "vit_tiny_patch16_224",
    "xcit_nano_12_p16_224",
]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table."""

    network: str
    pixels: int
    parameters: int
    macs: int
    activation_bytes: int
    blocks: int
    loss: str
    seconds: float


@pytest.fixture(scope="module")
def table():
    """Results of this module's tests, written when they are done."""
    results = []
    yield results
    folder = os.environ.get("MODEL_DIET_TABLES")
    if folder and results:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "zoo.md").write_text(as_markdown(results))


def as_markdown(results):
    rows = [asdict(result) for result in results]
    lines = [f"| {' | '.join(rows[0])} |", f"|{'---|' * len(rows[0])}"]
    for row in rows:
        cells = (f"{value:,}" if isinstance(value, int) else str(value) for value in row.values())
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def smallest(node):
    """The outline of a network at the smallest size that it takes."""
    for size in SIZES:
        try:
            return meta_network(node, num_classes=3, image_size=size), size
        except ConfigError as error:
            assert "\n" not in str(error)
            refusal = error
    raise refusal


def train_a_step(network, size):
    """The loss of one step of plain gradient descent on two images."""
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    network.train()
    loss = torch.nn.functional.cross_entropy(network(images), torch.tensor([0, 2]))
    loss.backward()
    # BatchNorm over two pixels, where the last map is 1 x 1, makes gradients of 1e7.
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    assert norm.isfinite()
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    network.zero_grad(set_to_none=True)
    # One step leaves BatchNorm's averages near their start, with which deep networks overflow.
    recalibrate(network, [(images, None)] * 2)
    return loss.item()


def check(node, table, folder, *, trained=True):
    start = perf_counter()
    torch.manual_seed(0)
    outline, size = smallest(node)
    rows = overview(outline, profile_network(outline, size))
    params, macs = count_params(outline), count_macs(outline, size)
    assert sum(row.params for row in rows) == params and sum(row.macs for row in rows) == macs > 0
    loss = None
    if trained:
        network = build_network(node, num_classes=3, image_size=size)
        assert count_params(network) == params
        loss = train_a_step(network, size)
        assert 0 < loss < 100
        save_network(network, folder)
        del network
        loaded = load_network(folder)  # compares the logits of a stored input
        assert count_macs(loaded, size) == macs
    table.append(
        Result(
            network=node.variant,
            pixels=size,
            parameters=params,
            macs=macs,
            activation_bytes=activation_bytes(outline, size),
            blocks=len(rows),
            loss="described only" if loss is None else f"{loss:.2f}",
            seconds=round(perf_counter() - start, 1),
        )
    )


@pytest.fixture
def folder(tmp_path):
    """For a saved network; gigabytes are not kept until the session's end."""
    yield tmp_path
    for path in (tmp_path / "model").glob("*"):
        path.unlink()


@pytest.mark.parametrize(("family", "name"), TORCHVISION)
def test_torchvision(family, name, model_cfg, table, folder):
    node = model_cfg(family, variant=name, input_size=None)
    check(node, table, folder, trained=name not in DESCRIBED)


@pytest.mark.parametrize("name", TIMM)
def test_timm(name, model_cfg, table, folder):
    check(model_cfg("timm", name=name), table, folder)
