"""Files are whole or absent, and as readable as the umask allows."""

import errno
import os
import resource
import stat

import pytest
import torch

from compression.files import whole_file, write_bytes, write_text


def test_a_file_is_written_in_one_piece(tmp_path):
    path = tmp_path / "network.onnx"
    assert write_bytes(path, b"one") == path and path.read_bytes() == b"one"
    write_text(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_what_was_there_stays(tmp_path):
    path = write_bytes(tmp_path / "network.onnx", b"before")
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_permissions_are_those_of_the_umask(umask, mode, tmp_path):
    path, before = tmp_path / "network.onnx", os.umask(umask)
    try:
        with whole_file(path) as part:
            part.write_bytes(b"content")
            part.chmod(0o600)  # as some writers leave it
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.fixture
def small_files():
    """Lets no file of this process grow beyond 4096 bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(9999)),
        lambda path: torch.save({"weight": torch.zeros(9999)}, path),  # says 'unexpected pos'
    ],
)
def test_what_cannot_be_written_is_said_by_the_system_with_its_name(tmp_path, small_files, write):
    path = tmp_path / "last.ckpt"
    with pytest.raises(OSError, match="File too large") as error, whole_file(path) as part:
        write(part)
    assert error.value.errno == errno.EFBIG and error.value.filename == str(path)
    assert not list(tmp_path.iterdir())
