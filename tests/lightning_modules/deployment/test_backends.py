"""Each registered backend gives the network's probabilities."""

import numpy as np
import pytest
import torch

from compression.latency import PASSES, measure_latency
from lightning_modules.deployment.backends import (
    BACKENDS,
    TIMED,
    Runner,
    backend_named,
    check_latency,
    latency_backend,
)
from lightning_modules.errors import ConfigError
from tests.conftest import needs_extra, run_command
from tests.lightning_modules.deployment.conftest import tiny

OFTEN_ABSENT = {
    "compile": [pytest.mark.slow],
    "openvino": [needs_extra("openvino")],
    "executorch": [needs_extra("executorch"), pytest.mark.slow],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=OFTEN_ABSENT.get(name, [])) for name in BACKENDS.paths]
)
def test_a_registered_backend(name, images, tmp_path):
    runner = backend_named(name)(tiny(), resize_mode="pad", threads=1, file=tmp_path / "network")
    assert isinstance(runner, Runner)
    with torch.inference_mode():
        expected = tiny()(torch.from_numpy(images)).softmax(1).numpy()
    np.testing.assert_allclose(runner.call(images), expected, atol=1e-5)
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert (runner.file_bytes or 0) == written and (runner.file is None) == (written == 0)


def test_names_of_backends_and_formats_are_known_without_a_library():
    done = run_command(
        "-c",
        "import sys; from lightning_modules.deployment import BACKENDS, EXPORTS\n"
        "print(*BACKENDS.paths, *EXPORTS.paths)\n"
        "print(*{'torch', 'numpy', 'pydantic', 'onnx', 'importlib.metadata'} & set(sys.modules))",
        cold=True,
    )
    names = "eager compile onnxruntime openvino executorch onnx torch_export openvino executorch"
    assert done.stdout.splitlines() == [names, ""]


def own(network, *, resize_mode, threads, file):
    file.write_bytes(b"weights")

    def call(images):
        return np.full((len(images), 3), len(file.name) + threads)

    return Runner(call)


def test_a_latency_is_measured_in_any_backend():
    assert tuple(PASSES) == TIMED and all(latency_backend(name) == name for name in TIMED)
    check_latency(None)
    node = {"_target_": f"{__name__}.own"}
    check_latency(node)
    for value, name in ((node, node["_target_"]), ("eager", "eager")):
        made = latency_backend(value)
        (found,) = measure_latency([tiny()], image_size=(12, 16), backend=made, repeats=3)
        assert found.backend == name and found.median_ms > 0


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("tensorrt", "latency.backend=tensorrt does not exist; there are eager, compile, onnxrunt"),
        ({"_target_": "builtins.dict"}, "latency.backend: builtins.dict is no backend: it has no"),
    ],
)
def test_what_is_no_backend_of_a_latency(backend, says):
    with pytest.raises(ConfigError, match=says):
        check_latency(backend)
