import os

from datamodules.sources import ImageFolder, find_images
from datamodules.sources.listing import Folder, Sieve, list_folder
from datamodules.sources.omissions import Omissions
from tests.datamodules.sources.test_image_folder_layouts import draw


def refusal(root) -> str:
    try:
        ImageFolder(root=str(root)).check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def test_folders_that_may_not_be_listed_are_refused_by_name(open_folder, as_nobody):
    draw(open_folder, "train/{cat,dog}*2 val/{cat,dog}*1 train/dog/deep*3")
    for place in ("", "train", "train/cat", "val"):
        (open_folder / place).chmod(0o000)
        message = as_nobody(lambda: refusal(open_folder))
        (open_folder / place).chmod(0o755)
        assert message.startswith(
            f"DataError: The folder {open_folder / place} cannot be listed (Permission denied)"
        )


def test_a_root_in_a_folder_that_may_not_be_entered(open_folder, as_nobody):
    draw(open_folder, "photos/{cat,dog}*2")
    open_folder.chmod(0o000)
    message = as_nobody(lambda: refusal(open_folder / "photos"))
    open_folder.chmod(0o755)
    assert "photos cannot be reached (Permission denied)" in message


def test_sub_folders_that_may_not_be_listed_are_counted(open_folder, as_nobody):
    draw(open_folder, "{cat,dog}*2 dog/deep*3")
    (open_folder / "dog" / "deep").chmod(0o000)

    def read() -> str:
        index = ImageFolder(root=str(open_folder)).read()
        return f"{len(index.splits['unsplit'])} {index.left_out}"

    found = as_nobody(read)
    (open_folder / "dog" / "deep").chmod(0o755)
    assert found.startswith("4 (LeftOut(reason='sub-folders that may not be listed', count=1")


def test_own_folders_are_no_classes(tmp_path, monkeypatch):
    draw(
        tmp_path,
        "{cat,dog}*2 outputs/day/run/figures/x.png data/trashnet/glass*3 .cache/x.png",
    )
    monkeypatch.chdir(tmp_path)
    for name in ("OUTPUTS", "DATA", "CACHE"):
        monkeypatch.delenv(f"MODEL_DIET_{name}", raising=False)
    index = ImageFolder(root=".").read()
    assert index.class_names == ("cat", "dog")
    assert [i.path for i in index.splits["unsplit"]] == [
        "cat/000.jpg", "cat/001.jpg", "dog/000.jpg", "dog/001.jpg"
    ]  # fmt: skip
    told = {one.reason: one.count for one in index.left_out}
    assert told == {"folders of this program's own": 2, "hidden folders": 1}
    assert ImageFolder(root="data/trashnet").check() == ("glass",)
    assert ImageFolder(root=".", own_folders=["outputs"]).check() == ("cat", "data", "dog")


def test_own_folders_follow_the_environment(tmp_path, monkeypatch):
    draw(tmp_path, "{cat,dog,runs}*2")
    monkeypatch.setenv("MODEL_DIET_OUTPUTS", str(tmp_path / "runs"))
    assert ImageFolder(root=str(tmp_path)).check() == ("cat", "dog")


def test_a_tree_knows_its_images(tmp_path):
    draw(tmp_path, "a/b*2 a/c.jpg d/")
    tree = list_folder(tmp_path, Omissions(), Sieve())
    assert isinstance(tree, Folder) and tree.count == 3
    assert sorted(tree.files()) == ["a/b/000.jpg", "a/b/001.jpg", "a/c.jpg"]
    assert list(tree.filled) == ["a"] and tree.folders["a"].folders["b"].path == "a/b"


def test_links_out_of_links_are_followed_once(tmp_path):
    draw(tmp_path, "pool/{a,b,c,d}*1")
    for one in "abcd":
        for other in "abcd":
            (tmp_path / "pool" / one / f"to_{other}").symlink_to(tmp_path / "pool" / other)
    draw(tmp_path, "photos/cat->pool/a photos/dog*1")
    omissions = Omissions()
    tree = list_folder(tmp_path / "photos", omissions, Sieve())
    assert tree.count <= 12


def test_a_pipe_is_never_opened(tmp_path):
    draw(tmp_path, "cat*1")
    os.mkfifo(tmp_path / "cat" / "pipe")
    found = find_images(tmp_path)
    assert [p.removeprefix(f"{tmp_path}/") for p in found.paths] == ["cat/000.jpg"]
    assert [one.reason for one in found.left_out] == ["special files, such as pipes"]
