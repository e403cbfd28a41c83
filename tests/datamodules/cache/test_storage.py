import os
import time

import pytest
from filelock import FileLock

from datamodules.cache.storage import stored_caches
from datamodules.errors import DataError
from datamodules.files import build_once


def _make(folder, size=5000, days=0.0):
    build_once(folder, lambda part: (part / "pixels").write_bytes(b"x" * size))
    then = time.time() - 86400 * days
    os.utime(folder, (then, then))


def test_oldest_first_with_their_sizes(tmp_path):
    _make(tmp_path / "young", days=1)
    _make(tmp_path / "deep" / "old", size=100_000, days=40)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "kept.csv").write_text("image,split\n")
    old, young = stored_caches(tmp_path)
    assert (old.name, young.name) == ("deep/old", "young")
    assert old.idle_days == pytest.approx(40, abs=0.01) and old.whole
    assert 100_000 <= old.bytes <= 110_000
    old.remove()
    assert [cache.name for cache in stored_caches(tmp_path)] == ["young"]
    assert (tmp_path / "splits" / "kept.csv").is_file()


def test_use_makes_young(tmp_path):
    _make(tmp_path / "made", days=40)
    build_once(tmp_path / "made", lambda part: pytest.fail("built again"))
    assert stored_caches(tmp_path)[0].idle_days < 0.01


def test_remains_of_a_killed_build(tmp_path):
    _make(tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "made.part")
    (found,) = stored_caches(tmp_path)
    assert found.name == "made.part" and not found.whole
    found.remove()
    assert not stored_caches(tmp_path)


def test_a_cache_in_the_making_is_left_alone(tmp_path):
    _make(tmp_path / "made")
    (found,) = stored_caches(tmp_path)
    with FileLock(f"{tmp_path / 'made'}.lock"), pytest.raises(DataError, match="is being built"):
        found.remove()
    assert (tmp_path / "made" / "pixels").is_file()


def test_no_folder_at_all(tmp_path):
    assert stored_caches(tmp_path / "nowhere") == []
