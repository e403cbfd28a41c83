import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.splits.split_file import (
    MARK,
    SPLITS,
    SplitRecord,
    is_record,
    read_split_file,
    write_split_file,
)

# Any name that a file system takes, bytes that are not UTF-8 among them.
names = st.binary(min_size=1, max_size=8).filter(lambda b: b"\0" not in b)
names = names.map(lambda b: b.decode("utf-8", "surrogateescape"))
records = st.builds(
    SplitRecord,
    split_of=st.dictionaries(names, st.sampled_from(SPLITS)),
    fold_of=st.dictionaries(
        st.integers(2, 5),
        st.dictionaries(names, st.sampled_from("01"), min_size=1),
        max_size=2,
    ).map(lambda folds: dict(sorted(folds.items()))),
    root=st.none() | names,
    of_run=st.booleans(),
    key=st.none() | st.text(max_size=3),
)
ABOUT = MARK + '{"root": null, "of_run": true, "key": null}\nimage,split'


@settings(max_examples=60, deadline=None)
@given(records)
def test_what_is_written_is_read(tmp_path_factory, record):
    path = tmp_path_factory.getbasetemp() / "record" / "splits.csv"
    write_split_file(path, record)
    assert read_split_file(path) == record and is_record(path)


def test_other_files_are_not_ours(tmp_path):
    mine = tmp_path / "mine.csv"
    assert not is_record(mine) and not is_record(tmp_path)
    mine.write_text("image,split\na,train\n")
    assert not is_record(mine)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,split\na,train\n", "goes on otherwise"),
        (MARK + '{"root": null, "of_run": true}\n', "goes on otherwise"),
        (MARK + '{"root": null}\nimage,split\n', "goes on otherwise"),
        (MARK + "x\nimage,split\n", "goes on otherwise"),
        (ABOUT + ",fold\n", "goes on otherwise"),
        (ABOUT + "\na,train,3\n", "Line 3"),
        (ABOUT + "\na,training\n", "Line 3 .*training"),
        (ABOUT + "\na,val\na,val\n", "Line 4 .*once"),
        (ABOUT + ",fold_of_2\na,val,2\n", "Line 3 .*one of 0, 1"),
    ],
)
def test_changed_files_are_refused_by_their_line(tmp_path, text, sentence):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_split_file(tmp_path / "splits.csv")
