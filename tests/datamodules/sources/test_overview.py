import dataclasses

import pytest

from datamodules.sources import ImageFolder, Index, Item, left_out_text, overview_lines
from datamodules.sources.source import LeftOut
from datamodules.splits import Splits
from tests.datamodules.sources.test_image_folder_layouts import draw


def test_three_lines_of_ready_splits(tmp_path):
    draw(tmp_path, "train/{cat,dog}*9 valid/{cat,dog}*2 test/{cat,dog}*1 train/cat/old*3 "
                   "train/cat/@eaDir/x.jpg train/cat/@eaDir/y.jpg notes.txt=text")  # fmt: skip
    assert overview_lines(ImageFolder(root=str(tmp_path)).read()) == (
        "classes   2: cat, dog",
        "images    cat 15 (3 from sub-folders), dog 12; train 21 of train/, val 4 of valid/, "
        "test 2 of test/",
        "left out  2 thumbnails in @eaDir (train/cat/@eaDir), 1 of no image format (notes.txt)",
    )


def test_lines_of_what_is_shared_out(tmp_path):
    draw(tmp_path, "{cat,dog}*20 test*5")
    index = ImageFolder(root=str(tmp_path)).read()
    classes, images, left_out, note = overview_lines(Splits(seed=0).apply(index))
    assert classes == "classes   2: cat, dog" and left_out == "left out  nothing"
    assert (
        images == "images    cat 20, dog 20; train 28, val 6, test 6 shared out, predict 5 of test/"
    )
    assert note.startswith("read as   test/ holds images and no class folders")
    assert "; to be shared out, predict 5 of test/" in overview_lines(index)[1]


def test_train_is_shared_out_beside_a_ready_test(tmp_path):
    draw(tmp_path, "training/{cat,dog}*20 Test/{cat,dog}*2")
    index = Splits(seed=0).apply(ImageFolder(root=str(tmp_path)).read())
    assert overview_lines(index)[1] == (
        "images    cat 22, dog 22; train 34, val 6 shared out of training/, test 4 of Test/"
    )


def test_many_classes_are_shortened(tmp_path):
    draw(tmp_path, "{a,b,c,d,e,f,g,h,i,j,k,l,m,n}*3 d/x.jpg a/y/z.jpg a/y/w.jpg")
    classes, images, _ = overview_lines(ImageFolder(root=str(tmp_path)).read())
    assert classes == "classes   14: a, b, c, d, e, f, g, h, i, j, ... n"
    assert images == (
        "images    45 (2 from sub-folders), of a class 3 (b) to 5 (a); to be shared out"
    )


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ((), ""),
        ([LeftOut("hidden files", 1, "cat/.x")], "1 hidden file (cat/.x)"),
        ([LeftOut("hidden files", 2, "cat/.x")], "2 hidden files (cat/.x)"),
        ([LeftOut("boxes of crowds", 1)], "1 box of crowds"),
        ([LeftOut("special", 1, "caf\udce9.txt")], r"1 special (caf\xe9.txt)"),
        ([LeftOut("of no image format", 1, "a\nb")], "1 of no image format (a b)"),
        ([LeftOut(f"r{n}", 12 - n) for n in range(12)],
         "12 r0, 11 r1, 10 r2, 9 r3, 8 r4, 7 r5, 6 r6, 5 r7, 10 for other reasons"),
    ],
)  # fmt: skip
def test_what_is_left_out(left_out, said):
    assert left_out_text(left_out) == said


def test_boxes_are_called_so():
    items = [Item("a.jpg", 0, (0, 0, 9, 9), "a.jpg"), Item("a.jpg", 1, (3, 3, 9, 9), "a.jpg")]
    index = Index(("can", "cup"), {"train": items})
    assert overview_lines(index)[1] == "boxes     can 1, cup 1; train 2"
    named = dataclasses.replace(index, notes=("Boxes are upright.",))
    assert overview_lines(named)[3:] == ("read as   Boxes are upright.",)
