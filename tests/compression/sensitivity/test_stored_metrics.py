import json

import pytest

from compression.errors import CompressionError
from compression.sensitivity.stored_metrics import FILE, StoredMetrics, stored_metrics


def test_each_is_measured_once_and_written_at_once(tmp_path):
    folder = tmp_path / "deep" / "scan"
    with stored_metrics(folder) as stored:
        assert stored.get("a", lambda: {"f1": 0.5}) == {"f1": 0.5}
        assert json.loads((folder / FILE).read_text()) == {"a": {"f1": 0.5}}
        assert stored.get("b", lambda: None) is None
        with pytest.raises(ZeroDivisionError):
            stored.get("c", lambda: {"f1": 1 / 0})
    with stored_metrics(folder) as stored:
        assert stored.known == {"a": {"f1": 0.5}, "b": None}
        assert stored.get("a", lambda: pytest.fail("known")) == {"f1": 0.5}
        assert stored.get("b", lambda: pytest.fail("known")) is None
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_nothing_is_kept_without_a_folder():
    with stored_metrics(None) as stored:
        assert stored.get("a", lambda: {"f1": 0.5}) == {"f1": 0.5}


def test_refusals(tmp_path):
    (tmp_path / FILE).write_text('{"a": ')
    with pytest.raises(CompressionError, match=r"figures.json is damaged: delete it"):
        StoredMetrics(tmp_path)
    (tmp_path / "file").touch()
    with (
        pytest.raises(CompressionError, match="cannot be written"),
        stored_metrics(tmp_path / "file" / "scan"),
    ):
        pass
