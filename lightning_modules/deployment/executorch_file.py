"""Format `executorch`: a program (.pte) for phones and boards, its layers in XNNPACK."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

from compression.onnx import is_onnx_network, suppress_output, trace
from lightning_modules.deployment.inference_model import InferenceModel, Probabilities, tell_batch
from lightning_modules.deployment.model_metadata import ModelMetadata, with_max_batch
from lightning_modules.deployment.vetting import PTE_METADATA, pte_metadata, pte_operators, vet_pte
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network

with suppress_output(stderr=True):
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.extension.pybindings import portable_lib as runtime

MAX_BATCH = 64  # memory is planned for it
CALIBRATION_BATCH = 32  # images that are looked at together
FIXED_BATCH_KERNELS = {"aten::_upsample_bilinear2d_aa.out"}  # kernels that fail for any other batch


def write(network: Network, path: Path, metadata: ModelMetadata) -> None:
    """The program: uint8 N x 3 x H x W, N up to `MAX_BATCH` -> float32 N x classes.

    Raises:
        ConfigError: the network cannot be traced, or ExecuTorch lacks an operation, which is named.
    """
    if is_onnx_network(network):
        raise ConfigError(
            "An int8 network is an ONNX graph, which ExecuTorch does not read: export the network "
            "that it came from with format=executorch int8=true."
        )
    write_module(_module(network), path, metadata)


def write_int8(network: Network, path: Path, metadata: ModelMetadata, images: np.ndarray) -> None:
    """The program with 8-bit weights and activations.

    Args:
        network: a float one; it stays as it is.
        path: of the file.
        metadata: of the network.
        images: of the training split, uint8 N x 3 x H x W, to calibrate on.

    Raises:
        ConfigError: see `write`.
    """
    try:
        module = int8_module(_module(network), images)
    except Exception as error:  # passes raise what they meet
        raise ConfigError(f"This network cannot be quantised: {_reason(error)}.") from error
    write_module(module, path, metadata)


def int8_module(module: nn.Module, images: np.ndarray) -> nn.Module:
    """The same network with signed 8-bit weights, one scale a channel, and 8-bit activations.

    Static quantisation for XNNPACK after training, by torchao's PT2E.

    Args:
        module: maps uint8 N x 3 x H x W to probabilities; in eval mode.
        images: of the training split, to find the activations' ranges on, at least
            `CALIBRATION_BATCH`.
    """
    with suppress_output(stderr=True):
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # only this

    example = torch.zeros(MAX_BATCH, *images.shape[1:], dtype=torch.uint8)
    quantizer = XNNPACKQuantizer().set_global(
        get_symmetric_quantization_config(is_per_channel=True)
    )
    with torch.no_grad(), suppress_output(stderr=True):
        traced = trace(module, example, max_batch=MAX_BATCH)
        observed = prepare_pt2e(traced.program.module(), quantizer)
        for part in torch.from_numpy(images).split(traced.batch or CALIBRATION_BATCH):
            observed(part)
        return convert_pt2e(observed)


def _module(network: Network) -> nn.Module:
    twin = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
    return Probabilities(twin).eval().requires_grad_(False)


def write_module(module: nn.Module, path: Path, metadata: ModelMetadata) -> None:
    """The program of a module that maps uint8 images to probabilities; see `write`."""
    # Of the largest batch: from a smaller one tracing concludes that there is no larger one.
    images = torch.zeros(MAX_BATCH, 3, *metadata.image_size, dtype=torch.uint8)
    try:
        with torch.no_grad(), suppress_output(stderr=True):
            traced = trace(module, images, max_batch=MAX_BATCH)
            program = traced.program
            metadata = with_max_batch(metadata, tell_batch(traced) or MAX_BATCH)
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # where this code lies is nobody's business
            lowered = to_edge_transform_and_lower(
                program,
                partitioner=[XnnpackPartitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),  # kernels decide
                constant_methods={PTE_METADATA: json.dumps(metadata.to_entries())},
            ).to_executorch()
    except Exception as error:  # tracer and passes raise what they meet
        raise ConfigError(
            f"This network cannot be exported to ExecuTorch: {_reason(error)}."
        ) from error
    called = pte_operators(lowered.executorch_program)
    fixed = called & FIXED_BATCH_KERNELS if traced.batch is None else ()
    if lacking := _lacking(called) or sorted(fixed):
        raise ConfigError(
            "This network cannot be exported to ExecuTorch, which has no kernel for any batch of "
            f"{', '.join(lacking)}."
        )
    path.write_bytes(lowered.buffer)


def open_file(path: Path, *, threads: int) -> InferenceModel:
    """A file of `write`, run by ExecuTorch on the CPU; more images are given in parts.

    Args:
        path: of the file; it is loaded only after `vet_pte` found nothing else in it.
        threads: of ExecuTorch, for the whole process: once a file is open they cannot be changed.

    Raises:
        ConfigError: it is no such file, or another one was opened with other threads.
    """
    content = path.read_bytes()
    program = vet_pte(path, content)
    if lacking := _lacking(pte_operators(program)):
        raise ConfigError(f"{path} needs kernels that are not here: {', '.join(lacking)}.")
    try:
        entries = json.loads(pte_metadata(program) or "{}")
    except ValueError:
        entries = {}
    metadata = ModelMetadata.from_entries(entries, file=str(path))
    forward = _load(path, content, threads)
    planned = tuple(forward.method_meta().input_tensor_meta(0).sizes())
    if metadata.max_batch is None or planned != (metadata.max_batch, 3, *metadata.image_size):
        raise ConfigError(f"{path} takes {planned}, which is not what it says of itself.")

    def call(images: np.ndarray) -> np.ndarray:
        try:
            return forward([torch.from_numpy(images).contiguous()])[0].numpy().copy()
        except RuntimeError as error:
            raise ConfigError(f"{path} cannot be run by ExecuTorch: {error}.") from error

    return InferenceModel(str(path), metadata, call)


_opened: list[int] = []  # threads of the files that this process opened


def _load(path: Path, content: bytes, threads: int) -> "runtime.ExecuTorchMethod":
    # A loaded method keeps a pointer to the pool, which setting its size replaces.
    if _opened and _opened[0] != threads:
        raise ConfigError(
            f"{path} cannot run with {threads} thread(s): ExecuTorch runs with {_opened[0]} in "
            "this process."
        )
    try:
        with suppress_output(stderr=True):
            if not _opened:
                runtime._unsafe_reset_threadpool(threads)
            loaded = runtime._load_program_from_buffer(
                content, program_verification=runtime.Verification.InternalConsistency
            )
            method = loaded.load_method("forward")
    except RuntimeError as error:
        raise ConfigError(f"{path} cannot be run by ExecuTorch: {error}.") from error
    _opened.append(threads)
    return _OwnedMethod(method, loaded, content)


class _OwnedMethod:
    """A method with what it points into."""

    def __init__(self, method: "runtime.ExecuTorchMethod", *owners: object) -> None:
        self.method, self.owners = method, owners
        self.method_meta = method.method_meta

    def __call__(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        return self.method(inputs)


def _lacking(names: set[str]) -> list[str]:
    """Those of the kernels that the runtime does not have."""
    return sorted(names - set(runtime._get_operator_names()))


def _reason(error: Exception) -> str:
    """The operations that ExecuTorch lacks, or the first line of what is wrong."""
    text = (str(error) or type(error).__name__).strip()
    if lacking := re.search(r"Missing out variants: \{(.+?)\}", text):
        return f"it has no operation for {lacking[1]}"
    return text.splitlines()[0].rstrip(".")
