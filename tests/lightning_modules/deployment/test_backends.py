"""Each registered backend gives the network's probabilities."""

import numpy as np
import pytest
import torch

from lightning_modules.deployment.backends import BACKENDS, Runner, backend_named
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
