"""What an OpenVINO file refuses, and what is in it."""

import shutil

import pytest
import torch
from torch import nn

from lightning_modules.deployment.formats import format_named
from lightning_modules.deployment.inference_model import metadata_of
from lightning_modules.errors import ConfigError
from tests.conftest import needs_extra
from tests.lightning_modules.deployment.conftest import tiny

pytestmark = needs_extra("openvino")


class Determinant(nn.Module):
    """An operation that ONNX has and OpenVINO lacks."""

    def forward(self, x):
        return x.mean((2, 3)) + torch.linalg.det(x[:, :, :3, :3])


@pytest.fixture
def file(exported, tmp_path):
    """A copy of an exported .xml and its .bin, free to be changed."""
    for part in format_named("openvino").files(exported("openvino")[0]):
        shutil.copy(part, tmp_path / part.name)
    return tmp_path / part.name


def open_file(path):
    return format_named("openvino").open_file(path, threads=1)


def test_class_names_and_preprocessing_are_readable_without_this_package(file):
    import openvino

    model = openvino.Core().read_model(file)
    assert model.get_rt_info(["class_names"]).astype(str) == '["blue", "green", "red"]'
    assert "12 x 16 pixels" in model.get_rt_info(["preprocessing"]).astype(str)
    assert file.read_bytes().count(b"12 x 16 pixels") == 1
    (images,), (probabilities,) = model.inputs, model.outputs
    assert images.get_partial_shape().to_string() == "[?,3,12,16]"
    assert images.any_name == "images" and probabilities.any_name == "probabilities"


def test_the_two_files_belong_together(file):
    weights = file.with_suffix(".bin")
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ConfigError, match=r"tiny\.bin does not belong to tiny\.xml"):
        open_file(file)
    weights.unlink()
    with pytest.raises(ConfigError, match=r"put tiny\.bin of the same export by it"):
        open_file(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no OpenVINO network"),
        (b"PK\3\4 something else", "is no OpenVINO network"),
        (b'<?xml version="1.0"?><net version="10"/>', "is no OpenVINO network of version 11"),
        (b'<?xml version="1.0"?><net version="11"/>', "does not say its classes"),
        (b'<?xml version="1.0"?><!DOCTYPE n [<!ENTITY a "b">]><net/>', "or defines entities"),
    ],
)
def test_what_is_no_network_is_refused(content, says, tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        open_file(path)


def test_an_operation_of_no_known_set_is_refused(file):
    file.write_bytes(file.read_bytes().replace(b'version="opset1"', b'version="theirs"', 1))
    with pytest.raises(ConfigError, match="cannot be run by OpenVINO"):
        open_file(file)


def test_an_operation_that_openvino_lacks_is_named(tmp_path):
    network = tiny(Determinant())
    with pytest.raises(ConfigError, match=r"OpenVINO has no operation for Det-20"):
        format_named("openvino").write(
            network, tmp_path / "a.xml", metadata_of(network, resize_mode="pad")
        )
    assert not list(tmp_path.iterdir())
