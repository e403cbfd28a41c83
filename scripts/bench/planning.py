"""What planning and applying a step takes: `python scripts/bench/planning.py [STEP...]`.

Steps without data on efficientnet_b0 at 224 px to 60 % of its MACs (those that find little to do
there to less) or to a ratio of its measured latency, kernels of resnet18 to half, Tucker with
EVBMF on resnet50, and the reload of a network that three steps changed against one that none did.
Every line is a process of its own: seconds of the clock and of the processor, and the most memory
above what the process held before.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import nn

from compression import compress
from compression.cost import count_macs
from compression.factorization import CP, SVD, SpatialSVD, Tucker
from compression.pruning import Prune, PruneLayers, PruneWeights
from compression.step import Step
from lightning_modules.config import ScriptParser, option_values, run_script
from lightning_modules.deployment import process_peak
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, save_network

SIZE = 224
RANK = 8
TASKS: dict[str, tuple[str, str, Callable[[], list[Step]]]] = {
    "prune": ("efficientnet", "efficientnet_b0", lambda: [Prune(target={"macs": 0.6})]),
    "prune_layers": (
        "efficientnet",
        "efficientnet_b0",
        lambda: [PruneLayers(target={"macs": 0.9})],
    ),
    "prune_weights": ("efficientnet", "efficientnet_b0", lambda: [PruneWeights(sparsity=0.8)]),
    "svd": ("efficientnet", "efficientnet_b0", lambda: [SVD(target={"macs": 0.6})]),
    "spatial_svd": ("efficientnet", "efficientnet_b0", lambda: [SpatialSVD(target={"macs": 0.97})]),
    "tucker": ("resnet", "resnet18", lambda: [Tucker(target={"macs": 0.5})]),
    "cp": ("resnet", "resnet18", lambda: [CP(target={"macs": 0.5})]),
    "prune_latency": (
        "efficientnet",
        "efficientnet_b0",
        lambda: [Prune(target={"latency": 0.6})],
    ),
    "prune_layers_latency": (
        "efficientnet",
        "efficientnet_b0",
        lambda: [PruneLayers(target={"latency": 0.85})],
    ),
    "svd_latency": ("efficientnet", "efficientnet_b0", lambda: [SVD(target={"latency": 0.9})]),
    "tucker_latency": ("resnet", "resnet18", lambda: [Tucker(target={"latency": 0.6})]),
    "evbmf": ("resnet", "resnet50", lambda: [Tucker(ranks="vbmf")]),
}
CHAIN = [lambda: Prune(target={"macs": 0.8}), lambda: Tucker(ratio=0.5), lambda: SVD(ratio=0.5)]


def built(option: str, variant: str) -> nn.Module:
    """A network for 224 x 224 pixels; untrained, but for EVBMF there is more than noise in it."""
    torch.manual_seed(0)
    node = OmegaConf.create(option_values("model", option))
    node = OmegaConf.merge(node, {"variant": variant})
    network = build_network(node, num_classes=6, image_size=SIZE).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            out, inner = module.weight.flatten(1).shape
            planted = torch.randn(out, RANK) @ torch.randn(RANK, inner) / RANK**0.5
            module.weight.data += module.weight.std() * planted.view_as(module.weight)
    return network


def plan(name: str) -> str:
    """Seconds and memory of one step, and the ratio of the MACs that is left."""
    option, variant, steps = TASKS[name]
    network = built(option, variant)
    sample = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    held, start, used = _peak(), time.perf_counter(), time.process_time()
    smaller, _ = compress(network, steps(), sample=sample)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    left = count_macs(smaller, SIZE) / count_macs(network, SIZE)
    return (
        f"{variant:16} {seconds:6.1f} s  {used:6.1f} CPU s  {_peak() - held:6.0f} MB  x {left:.3f}"
    )


def reload(_: str) -> str:
    """CPU seconds of loading a chained network against the plain one; medians of five."""
    network = built("resnet", "resnet50")
    sample = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    chained, _ = compress(network, [step() for step in CHAIN], sample=sample)
    with tempfile.TemporaryDirectory() as folder:
        times: dict[str, list[float]] = {"plain": [], "chained": []}
        for name, one in {"plain": network, "chained": chained}.items():
            save_network(one, Path(folder) / name)
        for _ in range(5):
            for name, taken in times.items():
                start = time.process_time()
                load_network(Path(folder) / name)
                taken.append(time.process_time() - start)
    plain, after = (sorted(taken)[2] for taken in times.values())
    return f"resnet50         plain {plain:.2f} CPU s, chained {after:.2f} CPU s"


def _peak() -> float:
    return process_peak() / 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line for each step."""
    parser = ScriptParser(description=__doc__, usage="[STEP ...]", overrides=False)
    known = [*TASKS, "reload"]
    names = parser.parse(arguments).names or known
    if unknown := set(names) - {*known}:
        raise ConfigError(f"There is no {min(unknown)}; there are {', '.join(known)}.")
    print(f"cpu, {torch.get_num_threads()} threads")
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(
                f"{name:16} {pool.apply(reload if name == 'reload' else plan, (name,))}", flush=True
            )


if __name__ == "__main__":
    run_script(main)
