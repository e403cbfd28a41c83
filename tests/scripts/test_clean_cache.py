"""`scripts/clean_cache.py`: what it lists and what it removes."""

import pytest

from datamodules.files import build_once
from lightning_modules.errors import ConfigError
from scripts import clean_cache


@pytest.fixture
def clean(capsys):
    """Runs the script in this process; returns what it prints."""

    def run(*words):
        clean_cache.main(words)
        return capsys.readouterr().out

    return run


def test_lists_and_removes(tmp_path, clean):
    for name in ("one", "two"):
        build_once(tmp_path / name, lambda part: (part / "pixels").write_bytes(b"x" * 2_000_000))
    here = f"cache_dir={tmp_path}"
    listed = clean(here)
    assert "one" in listed and "2.0" in listed
    assert "removed 0 of 2 caches" in listed
    assert "removed 1 of 2 caches" in clean("one", here)
    assert not (tmp_path / "one").exists() and (tmp_path / "two").exists()
    clean(here, "--older-than", "30")
    assert (tmp_path / "two").exists()
    clean(here, "--all")
    assert not (tmp_path / "two").exists()
    assert "holds no caches" in clean(here)


def test_mistakes(tmp_path):
    build_once(tmp_path / "one", lambda part: None)
    for words, sentence in (
        (["three"], "There is no cache three; there are: one."),
        (["data=taco"], "data=taco is no key of this script"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            clean_cache.main([*words, f"cache_dir={tmp_path}"])
