import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.cache import cache
from datamodules.cache.cache import open_cache
from datamodules.decoding import decoding
from datamodules.errors import DataError
from datamodules.sources.image_folder import ImageFolder
from datamodules.sources.source import Item
from datamodules.workers import processes


@pytest.fixture
def items(make_folder):
    return ImageFolder(root=str(make_folder())).read().splits["train"]


def _open(items, tmp_path, **changes):
    settings = {
        "name": "train",
        "size": (8, 12),
        "resize_mode": "stretch",
        "cache_dir": tmp_path / "cache",
    }
    return open_cache(items, **{**settings, **changes})


def _direct(item, size=(8, 12)):
    return decoding.decode_crops(item.path, [item.box], size=size, resize_mode="stretch")[0]


def test_pixels_are_those_of_the_files(items, tmp_path):
    split = _open(items, tmp_path)
    assert split.items == items and split.bad == {}
    assert all(np.array_equal(split.pixels[n], _direct(i)) for n, i in enumerate(items))


def test_cached_and_decoded_are_equal(items, tmp_path):
    kept, decoded = _open(items, tmp_path), _open(items, tmp_path, keep_pixels=False)
    assert decoded.items == kept.items
    for n in range(len(items)):
        assert np.array_equal(kept.pixels[n], decoded.pixels[n])
    assert all((p / "pixels").stat().st_size == 0 for p in (tmp_path / "cache").glob("*_list_*/"))


def test_second_opening_decodes_nothing(items, tmp_path, monkeypatch):
    _open(items, tmp_path)
    monkeypatch.setattr(cache, "read_crops", lambda *a, **k: pytest.fail("decoded again"))
    assert _open(items, tmp_path).items == items


@pytest.mark.parametrize("changes", [{"size": (8, 8)}, {"resize_mode": "pad"}])
def test_settings_are_part_of_the_key(items, tmp_path, changes):
    _open(items, tmp_path)
    _open(items, tmp_path, **changes)
    assert len(list((tmp_path / "cache").glob("*/"))) == 2


def test_changed_file_and_box_are_cached_anew(items, tmp_path):
    before = _open(items, tmp_path).pixels[0].copy()
    boxed = [items[0]._replace(box=(0, 0, 5, 5)), *items[1:]]
    assert not np.array_equal(_open(boxed, tmp_path).pixels[0], before)
    Image.new("RGB", (30, 20), "red").save(items[0].path)
    assert (_open(items, tmp_path).pixels[0] == (255, 0, 0)).all()


def test_boxes_of_one_file_are_decoded_once(items, tmp_path, monkeypatch):
    calls = []
    decode = decoding.read_crops
    monkeypatch.setattr(
        cache, "read_crops", lambda path, *a, **k: calls.append(path) or decode(path, *a, **k)
    )
    path = items[0].path
    boxes = [Item(path, 0, (n, 0, n + 5, 5), path) for n in range(4)]
    split = _open([*boxes, items[1]], tmp_path)
    assert sorted(calls) == sorted([path, items[1].path])
    assert np.array_equal(split.pixels[3], _direct(boxes[3]))


@pytest.mark.parametrize("keep_pixels", [True, False])
def test_bad_images_are_left_out_and_named(items, tmp_path, keep_pixels):
    Path(items[2].path).write_bytes(b"no image")
    split = _open(items, tmp_path, keep_pixels=keep_pixels)
    assert split.items == items[:2] + items[3:]
    assert list(split.bad) == [items[2].path]
    assert np.array_equal(split.pixels[2], _direct(items[3]))


def test_nothing_readable(items, tmp_path):
    for item in items:
        Path(item.path).write_bytes(b"")
    with pytest.raises(DataError, match=rf"None of the {len(items)} train images can be read"):
        _open(items, tmp_path)


def test_damaged_cache_is_refused(items, tmp_path):
    _open(items, tmp_path)
    (file,) = (tmp_path / "cache").glob("*/pixels")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged: delete it"):
        _open(items, tmp_path)


def test_pickling_does_not_copy_the_pixels(items, tmp_path):
    pixels = _open(items, tmp_path).pixels
    data = pickle.dumps(pixels)
    assert len(data) < 500
    assert np.array_equal(pickle.loads(data)[1], pixels[1])


def test_one_plain_line_without_a_terminal(items, tmp_path, capsys):
    _open(items, tmp_path)
    assert capsys.readouterr().out == "Reading 11 train images at 8 x 12 ...\n"


def _open_and_note(items, tmp_path, decoded):
    decode = decoding.read_crops

    def slow(*args, **settings):
        with decoded.get_lock():
            decoded.value += 1
        time.sleep(0.02)
        return decode(*args, **settings)

    cache.read_crops = slow
    _open(items, tmp_path)


def _start(items, tmp_path, decoded):
    process = multiprocessing.get_context("fork").Process(
        target=_open_and_note, args=(items, tmp_path, decoded)
    )
    process.start()
    return process


def test_two_processes_build_once(items, tmp_path):
    decoded = multiprocessing.Value("i", 0)
    processes = [_start(items, tmp_path, decoded) for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert decoded.value == len(items)


def test_killed_build_is_not_taken_for_whole(items, tmp_path):
    items = items * 20
    decoded = multiprocessing.Value("i", 0)
    process = _start(items, tmp_path, decoded)
    while decoded.value == 0:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert [p.name[-5:] for p in (tmp_path / "cache").glob("*/")] == [".part"]
    split = _open(items, tmp_path)
    assert len(split.items) == len(items)
    assert np.array_equal(split.pixels[len(items) - 1], _direct(items[-1]))
    assert not list((tmp_path / "cache").glob("*.part"))


def test_full_disk_is_one_sentence(items, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    plain_open = Path.open

    def full(path, *args, **settings):
        return plain_open(Path("/dev/full") if path.name == "pixels" else path, *args, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(DataError, match="No space left on device"):
            _open(items, tmp_path)
    assert _open(items, tmp_path).items == items


def _memory() -> int:
    """Anonymous resident memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024


def _grown(items, tmp_path, size, grown):
    before, peak = _memory(), 0
    decode = decoding.read_crops

    def noting(*args, **settings):
        nonlocal peak
        peak = max(peak, _memory())
        return decode(*args, **settings)

    cache.read_crops = noting
    _open(items, tmp_path, size=size)
    grown.value = max(peak, _memory()) - before


@pytest.mark.parametrize(
    ("count", "limit"), [(2000, 40), pytest.param(20000, 300, marks=pytest.mark.slow)]
)
def test_cache_is_not_held_in_memory(make_folder, tmp_path, count, limit):
    if not Path("/proc/self/status").exists():
        pytest.skip("RssAnon is read from /proc")
    root = make_folder({"train": {"a": count}, "val": {"a": 1}}, size=(24, 24), suffix=".jpg")
    items = ImageFolder(root=str(root)).read().splits["train"]
    grown = multiprocessing.Value("i", 0)
    # 2 000 images are 96 MB at this size, 20 000 are 960 MB.
    process = multiprocessing.get_context("fork").Process(
        target=_grown, args=(items, tmp_path, (128, 128), grown)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert grown.value < limit


def test_processes_build_the_same_cache_as_threads(items, tmp_path, monkeypatch):
    Path(items[2].path).write_bytes(b"no image")
    path = items[0].path
    items = [*items, *(Item(path, 0, (n, 0, n + 5, 5), path) for n in range(4))]
    threads = _open(items, tmp_path)
    monkeypatch.setattr(processes, "MIN_JOBS", 1)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    forked = _open(items, tmp_path, cache_dir=tmp_path / "other")
    assert (forked.items, forked.bad) == (threads.items, threads.bad)
    assert np.array_equal(forked.pixels.images, threads.pixels.images)
