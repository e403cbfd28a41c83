"""What an ExecuTorch file refuses, and how it takes more images than it has memory for."""

import copy
import json

import numpy as np
import pytest
import torch

from lightning_modules.deployment.formats import format_named
from lightning_modules.deployment.inference_model import metadata_of
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Pixels
from tests.conftest import needs_extra
from tests.lightning_modules.deployment.conftest import Airy, tiny

pytestmark = [needs_extra("executorch"), pytest.mark.slow]


def open_file(path):
    return format_named("executorch").open_file(path, threads=1)


def test_the_largest_batch_is_said_and_more_are_given_in_parts(exported, images):
    path, report = exported("executorch")
    assert report["max_batch"] == 64 and "N in 1..64." in report["preprocessing"]
    model = open_file(path)
    many = np.concatenate([images, images])  # 140
    parts = [model(many[start : start + 10]) for start in range(0, 140, 10)]
    np.testing.assert_allclose(model(many), np.concatenate(parts), atol=1e-6)


def test_metadata_is_readable_without_this_package(exported):
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(exported("executorch")[0])
    (text,) = program.load_method("model_diet").execute([])
    found = json.loads(text)
    assert json.loads(found["class_names"]) == ["blue", "green", "red"]
    assert "12 x 16 pixels" in found["preprocessing"]


def test_other_threads_are_refused_once_a_file_is_open(exported):
    path, _ = exported("executorch")
    open_file(path)
    with pytest.raises(ConfigError, match=r"cannot run with 2 thread\(s\): ExecuTorch runs with 1"):
        format_named("executorch").open_file(path, threads=2)


def test_what_is_no_program_of_ours_is_refused(exported, tmp_path):
    content = exported("executorch")[0].read_bytes()
    for name, changed, says in (
        ("empty", b"", "is no ExecuTorch program"),
        ("other", b"PK\3\4 something else", "is no ExecuTorch program"),
        ("short", content[: len(content) // 2], "cannot be read as an ExecuTorch program"),
        (
            "foreign",
            content.replace(b"XnnpackBackend", b"OpenvinoBacken"),
            "wants the delegate Open",
        ),
        ("silent", content.replace(b"model_diet", b"model_dine"), "does not say its classes"),
        (
            "kernel",
            content.replace(b"aten::sym_size", b"aten::sym_sine"),
            "kernels that are not he",
        ),
    ):
        path = tmp_path / f"{name}.pte"
        path.write_bytes(changed)
        with pytest.raises(ConfigError, match=says):
            open_file(path)


def test_operations_that_executorch_lacks_are_named(tmp_path):
    code = format_named("executorch")
    resizing = copy.deepcopy(tiny())
    resizing.pixels = Pixels(resize_to=[20, 24]).eval()
    for network, says in (
        (tiny(Airy()), r"no kernel for any batch of aten::special_airy_ai\.out"),
        (resizing, r"no kernel for any batch of aten::_upsample_bilinear2d_aa\.out"),
    ):
        with pytest.raises(ConfigError, match=says), torch.no_grad():
            code.write(network, tmp_path / "a.pte", metadata_of(network, resize_mode="pad"))
    assert not list(tmp_path.iterdir())
