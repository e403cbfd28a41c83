from datamodules.files import build_once
from tests.conftest import run_command


def test_lists_and_removes(tmp_path):
    for name in ("one", "two"):
        build_once(tmp_path / name, lambda part: (part / "pixels").write_bytes(b"x" * 2_000_000))
    here = f"cache_dir={tmp_path}"
    listed = run_command("scripts/clean_cache.py", here)
    assert "one" in listed.stdout and "2.0" in listed.stdout
    assert "removed 0 of 2 caches" in listed.stdout
    assert "removed 1 of 2 caches" in run_command("scripts/clean_cache.py", "one", here).stdout
    assert not (tmp_path / "one").exists() and (tmp_path / "two").exists()
    run_command("scripts/clean_cache.py", here, "--older-than", "30")
    assert (tmp_path / "two").exists()
    run_command("scripts/clean_cache.py", here, "--all")
    assert not (tmp_path / "two").exists()
    assert "holds no caches" in run_command("scripts/clean_cache.py", here).stdout


def test_mistakes(tmp_path):
    build_once(tmp_path / "one", lambda part: None)
    for words, sentence in (
        (["three"], "There is no cache three; there are: one."),
        (["data=taco"], "data=taco is no key of this script"),
    ):
        done = run_command("scripts/clean_cache.py", *words, f"cache_dir={tmp_path}", check=False)
        assert done.returncode == 1 and sentence in done.stderr
