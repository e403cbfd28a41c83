"""The words that people call splits by, in folders, tables and data sets of others."""

import re

SPLIT_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
_SPLIT_OF = {word: split for split, words in SPLIT_WORDS.items() for word in words}
# `seg_train`, `training_set`, `Train-Images`, `seg_train`: what stands beside the word.
_BESIDE = re.compile(r"^seg[-_ .]+|[-_ .]*(?:set|data|dataset|split|images?|imgs|img)$")


def split_called(name: str) -> str | None:
    """`train`, `val` or `test` of a name that people give it, in any case; None of another name.

    `Train`, `valid`, `dev`, `training_set` and `seg_test` are such names; `latest`, `train 2` and
    `trains` are not.
    """
    word = name.strip().casefold()
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(_BESIDE.sub("", word))
