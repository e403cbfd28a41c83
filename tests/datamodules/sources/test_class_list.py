import json

import pytest

from datamodules.errors import DataError
from datamodules.sources import ImageFolder
from datamodules.sources.class_list import read_class_list
from tests.datamodules.sources.test_image_folder_layouts import draw

NAMES = ("dog", "#1", "10", "a b", "café")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "\n".join(NAMES)),
        ("classes.txt", "\ufeff" + "\r\n".join(NAMES) + "\r\n\r\n"),
        ("classes", "  \n".join(NAMES) + "\n"),
        ("classes.json", json.dumps(NAMES)),
        ("classes.json", json.dumps({name: n for n, name in enumerate(NAMES)})),
        ("classes.json", json.dumps({str(n): name for n, name in enumerate(NAMES)})),
        ("classes.yaml", "- dog\n- '#1'\n- '10'\n- a b\n- café\n"),
        ("data.yml", "path: x\nnames: {0: dog, 1: '#1', 2: '10', 3: a b, 4: café}\n"),
        ("data.YAML", "nc: 5\nnames: [dog, '#1', '10', a b, café]\n"),
    ],
)
def test_forms_of_lists(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_class_list(tmp_path / name) == NAMES


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("c.txt", b"", "lists nothing where names"),
        ("c.txt", b"cat\ndog\ncat\n", "lists the class 'cat' twice"),
        ("c.txt", b"caf\xe9\n", "is not UTF-8"),
        ("c.json", b"[1, 2]", "lists 1 where names"),
        ("c.json", b"[", "cannot be parsed"),
        ("c.json", b'"cat"', "lists nothing where names"),
        ("c.json", b'{"cat": 1, "dog": 3}', "lists nothing where names"),
        ("c.yaml", b"- cat\n- no\n", "lists False where names"),
        ("c.yaml", b"a: [", "cannot be parsed"),
        ("c.yaml", b"", "lists nothing where names"),
    ],
)
def test_what_is_no_list(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_class_list(tmp_path / name)
    assert said in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_an_absent_list(tmp_path):
    with pytest.raises(DataError, match=r"classes=.*c\.txt cannot be read \(No such file"):
        read_class_list(tmp_path / "c.txt")


def test_labels_follow_the_list(tmp_path):
    draw(tmp_path / "photos", "{ant,bee,cat}*2")
    (tmp_path / "classes.txt").write_text("cat\nant\n")
    source = ImageFolder(root=str(tmp_path / "photos"), classes=str(tmp_path / "classes.txt"))
    assert source.check() == ("cat", "ant") == source.read().class_names
    found = [(item.group, item.label) for item in source.read().splits["unsplit"]]
    assert found == [("cat/000.jpg", 0), ("cat/001.jpg", 0), ("ant/000.jpg", 1), ("ant/001.jpg", 1)]
