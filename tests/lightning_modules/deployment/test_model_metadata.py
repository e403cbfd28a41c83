"""What a file says of itself: written, read again, and read as earlier versions wrote it."""

import json
from dataclasses import replace

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


def test_the_bits_in_use_are_told_where_there_are_more_than_8():
    assert "bits" not in FOUND.preprocessing.removeprefix("Decode to 8-bit RGB")
    deep = replace(FOUND, levels=12)
    sentence = "Where samples have more than 8 bits, 12 are in use: min(level, 4095) >> 4. "
    assert sentence in deep.preprocessing
    assert ModelMetadata.from_entries(deep.to_entries(), file="x") == deep
    content = json.loads(FOUND.to_entries()[KEY])
    del content["levels"]  # of an earlier version
    assert ModelMetadata.from_entries({KEY: json.dumps(content)}, file="x").levels is None
