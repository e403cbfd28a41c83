"""What a file says of itself: written, read again, and read as earlier versions wrote it."""

import json

import pytest

from lightning_modules.deployment.model_metadata import KEY, ModelMetadata
from lightning_modules.errors import ConfigError

FOUND = ModelMetadata(
    class_names=("a", "b"), image_size=(12, 16), resize_mode="pad", macs={"standard": 7}, params=3
)


def test_what_is_written_is_read():
    assert ModelMetadata.from_entries(FOUND.to_entries(), file="x") == FOUND


def test_files_of_the_first_schema():
    content = json.loads(FOUND.to_entries()[KEY])
    content |= {"schema": 1, "fit": content.pop("resize_mode"), "largest_batch": 64}
    content.pop("max_batch")
    found = ModelMetadata.from_entries({KEY: json.dumps(content)}, file="x")
    assert found.resize_mode == "pad" and found.max_batch == 64
    del content["largest_batch"]  # before there was a limit
    assert ModelMetadata.from_entries({KEY: json.dumps(content)}, file="x") == FOUND


@pytest.mark.parametrize(
    "changed",
    [{"schema": 3}, {"schema": "2"}, {"resize_mode": "tile"}, {"image_size": 8}, {"macs": None}],
)
def test_what_is_not_ours(changed):
    content = json.loads(FOUND.to_entries()[KEY]) | changed
    with pytest.raises(ConfigError, match="x does not say its classes and preprocessing"):
        ModelMetadata.from_entries({KEY: json.dumps(content)}, file="x")
    with pytest.raises(ConfigError, match="export the run again"):
        ModelMetadata.from_entries({}, file="x")
