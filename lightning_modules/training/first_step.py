"""One step of training, tried before any image is read: whether and what a network can learn."""

import contextlib
import logging
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from compression.errors import own_words
from compression.network_copy import copy_network
from compression.onnx import is_onnx_network
from compression.outputs import auxiliary_outputs
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Features, Network
from lightning_modules.registry import ROOTS
from lightning_modules.training.auxiliary.outputs import BODY

log = logging.getLogger(__name__)

IMAGES = 2  # that BatchNorm can train on
NAMED = 4  # parameters that a line names
IN_PLACE = "modified by an inplace operation"
CALL = re.compile(r'File "(.+?)", line (\d+), in \w+\n\s*(.+)')  # of a printed traceback


def check_trainable(network: Network, *, outputs: bool) -> None:
    """Refuses a network of one's own that cannot be trained, and says what stays untrained in it.

    Args:
        network: stays as it is.
        outputs: whether its auxiliary outputs join the loss.

    Raises:
        ConfigError: as `untrained_parameters`.
    """
    target = str(network.model_cfg.get("_target_"))
    if target.partition(".")[0] in ROOTS or is_onnx_network(network):
        return
    idle = untrained_parameters(network, outputs=outputs)
    if idle:
        names = [name.removeprefix("body.") for name in idle]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        log.info(f"No gradient reaches {', '.join(names[:NAMED])}{more}: they stay as they are.")


def untrained_parameters(network: Network, *, outputs: bool = False) -> list[str]:
    """The parameters that no gradient of the logits reaches, of those that could be trained.

    Args:
        network: stays as it is.
        outputs: whether its auxiliary outputs join the loss.

    Raises:
        ConfigError: its forward pass runs, but not its backward pass; or the loss of random
            images is not finite, or has no gradient at all.
    """
    try:
        twin, loss = _step(network, outputs=outputs)
    except Exception as error:  # whatever the network's own code raises in training mode
        reason = f"{own_words(error)}{_where(network) if IN_PLACE in str(error) else ''}"
        raise ConfigError(f"The network runs but cannot be trained: {reason}.") from error
    if not torch.isfinite(loss):
        raise ConfigError(f"The loss of random images is {float(loss)}.")
    trained = [(name, p) for name, p in twin.named_parameters() if p.requires_grad]
    idle = [name for name, parameter in trained if parameter.grad is None]
    if len(idle) == len(trained):
        raise ConfigError("No parameter gets a gradient from the logits.")
    return idle


def _step(network: Network, *, outputs: bool = False) -> tuple[nn.Module, Tensor]:
    twin = copy_network(network).cpu().train()
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, 3, *network.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.arange(IMAGES) % network.num_classes
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        with Features(twin, [BODY], whole=[BODY]) as features:
            logits = [twin(images)]
            if outputs:
                logits += auxiliary_outputs(features.outputs[BODY]).values()
        loss = torch.stack([cross_entropy(each.float(), labels) for each in logits]).sum()
        loss.backward()
    return twin, loss.detach()


def _where(network: Network) -> str:
    """The call whose values were overwritten, as autograd knows it when it keeps its traces."""
    with warnings.catch_warnings(record=True) as said, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        with contextlib.suppress(RuntimeError):
            _step(network)
    text = "\n".join(str(warning.message) for warning in said)
    plain = str(Path(torch.__file__).parent)
    calls = [found for found in CALL.findall(text) if not found[0].startswith(plain)]
    advice = "; give its layers a copy (clone) or put the parts together anew (torch.cat)"
    if not calls:
        return advice
    file, line, source = calls[-1]
    return f" after {source} ({Path(file).name} line {line}){advice}"
