import pytest

from datamodules.sources.split_names import SPLIT_WORDS, split_called


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAIN training training_set Training-Set trainset train_images"),
        ("train", "seg_train train_data traindata trn"),
        ("val", "val Val valid VALID validation Validation dev eval evaluation val_set valid_data"),
        ("test", "test Test testing testing_set seg_test test_images tst holdout"),
        (None, "latest trains train2 tests cat set data images seg my_set data_set predict value"),
        (None, "contest retest training_wheels testament devil evaluate_me train.jpg valley 0"),
    ],
)
def test_names_of_splits(split, names):
    assert {split_called(name) for name in names.split()} == {split}


def test_blanks_about_a_name_do_not_count():
    assert split_called(" Train ") == "train" and split_called("test set") == "test"
    assert split_called("") is None and split_called(" ") is None


def test_no_word_means_two_splits():
    words = [word for words in SPLIT_WORDS.values() for word in words]
    assert len(words) == len(set(words)) and set(SPLIT_WORDS) == {"train", "val", "test"}
