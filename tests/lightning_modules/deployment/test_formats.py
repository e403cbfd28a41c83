"""The formats of this package by name, and what a format of one's own need not say."""

import pytest

from lightning_modules.deployment.exports import EXPORTS
from lightning_modules.deployment.formats import (
    Format,
    format_of,
    known_formats,
    require_used,
)
from lightning_modules.errors import ConfigError


class Plain:
    suffix = ".plain"

    def write(self, network, path, metadata):
        path.write_bytes(b"file")

    def open_file(self, path, *, threads):
        return path


def test_every_registered_format_has_the_interface():
    found = known_formats()
    assert [form.name for form in found] == list(EXPORTS.paths)
    assert [form.part for form in found] == [EXPORTS.part(name, "format") for name in EXPORTS.paths]
    assert [form.suffix for form in found] == [".onnx", ".pt2", ".xml", ".pte"]
    assert [form.name for form in found if form.half_weights] == ["onnx", "openvino"]
    assert [form.name for form in found if form.quantizes] == ["executorch"]
    assert [form.name for form in found if form.rounds_int8] == ["openvino"]
    runtimes = ["onnxruntime", "torch_export", "openvino", "executorch"]
    assert [form.runtime for form in found] == runtimes


def test_a_format_says_only_what_it_has_to(tmp_path):
    form = Format({"_target_": "some.Plain"}, Plain())
    assert (form.name, form.suffix, form.runtime) == ("some.Plain", ".plain", "some.Plain")
    assert not (form.half_weights or form.quantizes or form.rounds_int8)
    assert form.files(tmp_path / "a.plain") == [tmp_path / "a.plain"]
    form.require()
    form.write(None, tmp_path / "a.plain", None)
    with pytest.raises(ConfigError, match="opened a.plain as PosixPath; its open_file must give"):
        form.open_file(tmp_path / "a.plain", threads=1)


def test_a_named_format_is_for_files_of_its_suffix(tmp_path):
    named = Format("plain", Plain())
    assert format_of(tmp_path / "a.PLAIN", named) is named
    assert format_of(tmp_path / "a.onnx", named).name == "onnx"
    with pytest.raises(ConfigError, match="name a format of your own for it: format=NAME or"):
        format_of(tmp_path / "a.plain")
    require_used(None, [tmp_path])
    require_used(named, [tmp_path, tmp_path / "a.plain"])
    with pytest.raises(ConfigError, match="plain is for files that end with .plain; none was"):
        require_used(named, [tmp_path / "a.onnx"])
