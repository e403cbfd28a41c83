"""What the fuzzing found, by the smallest input: a traceback or a crash once, a sentence now."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from tests.conftest import needs_extra
from tests.fuzz.binary_targets import picture
from tests.fuzz.export_targets import exported
from tests.fuzz.inputs import DOUBLING
from tests.fuzz.judging import judge
from tests.fuzz.run_targets import RUNS
from tests.fuzz.test_fuzz import TARGETS

NESTED = b"[" * 3_000 + b"]" * 3_000
CRASHING = b"[" * 60_000  # for the compiled loader of YAML
CONFIG = ("trained", ".hydra/config.yaml")
HYDRA = ("trained", ".hydra/hydra.yaml")
KEPT = {"kept": [0], "bad": {}, "levels": None, "deep": 0, "notices": {}}
INDEX = {"class_names": ["a"], "splits": {}, "left_out": [], "notes": [], "sources": {}}


def nameless_zip() -> bytes:
    """A member without a name."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("n", picture())
    content = written.getvalue().replace(b"PK\x01\x02", b"PK\x01\x02", 1)
    place = content.index(b"PK\x01\x02")
    entry = bytearray(content[place : place + 46])
    entry[28:30] = struct.pack("<H", 0)
    return content[:place] + bytes(entry) + b"n" * 0 + content[place + 47 :]


def shortened_zip() -> bytes:
    """An archive whose first byte is gone, so that a member begins before it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.png", picture())
    return written.getvalue()[1:]


def hashless() -> bytes:
    """A description without the hashes of its files."""
    text = (RUNS / "trained" / "model" / "network.yaml").read_text()
    return (text.partition("sha256:")[0] + "sha256: null\n").encode()


def recipe(plan) -> bytes:
    return json.dumps(
        {"schema": 2, "entries": [{"step": "prune_layers", "version": 1, "plan": plan}]}
    ).encode()


@pytest.mark.parametrize(
    ("target", "value", "says"),
    [
        ("words before Hydra", ["from_run=~0"], "The run directory ~0 does not exist"),
        ("words of scripts", ["~seed\0"], None),
        ("words of scripts", ["~seed\ud800"], None),
        ("command lines", ["objective=1"], "objective=1; name one metric or several"),
        ("command lines", ["objective=[1]"], "objective=[1]; name one metric or several"),
        ("command lines", ["model=null"], "cannot be composed: Config group override must be"),
        ("command lines", ["hydra.sweeper.params={_target_:os.system}"], "cannot be composed: "),
        ("command lines", ["data.root=${model}"], "is no folder; name one"),
        ("save_to_disk notes", b'{"_data_files": 3}', "it names no files"),
        ("save_to_disk notes", b'{"_data_files": [{}]}', "it names no files"),
        ("save_to_disk notes", b'{"_data_files": [{"filename": "\\u0000"}]}', "it names no files"),
        ("save_to_disk notes", NESTED, "it should be as save_to_disk leaves it"),
        ("unpacked lists", NESTED, "this program and is damaged"),
        ("unpacked lists", b'{"splits": null}', "this program and is damaged"),
        ("unpacked lists", json.dumps(INDEX | {"notes": [{}]}).encode(), "what is no text"),
        ("cache lists", b"", "is damaged: remove it"),
        ("cache lists", NESTED, "is damaged: remove it"),
        ("cache lists", b"7" * 5000, "is damaged: remove it"),
        ("cache lists", b"null", "is damaged: remove it"),
        ("cache lists", b"\x80{}", "is damaged: remove it"),
        ("cache lists", json.dumps(KEPT | {"kept": [2**31]}).encode(), "is damaged: remove it"),
        ("cache lists", json.dumps(KEPT | {"kept": [None]}).encode(), "is damaged: remove it"),
        ("cache lists", json.dumps(KEPT | {"notices": None}).encode(), "is damaged: remove it"),
        ("look-alikes", b"[[]]", "is damaged: remove it"),
        ("stored metrics", NESTED, "is damaged: delete it"),
        ("stored metrics", b'{"a": {"f1": Infinity}}', "is damaged: delete it"),
        ("stored metrics", b'{"a": 3}', "is damaged: delete it"),
        ("downloaded archives", shortened_zip(), "a member lies outside of it"),
        ("downloaded archives", nameless_zip(), "it is no whole zip archive"),
        ("zip archives", nameless_zip(), "cannot be read as an archive of images"),
        ("exclusion lists", b"box,path\n1", "has the line '1' without a path: write it"),
        ("exclusion lists", b"path,box\na,1 2 3 " + b"4" * 5000, "give its four corners"),
        ("idx files", struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "which is more than the"),
        ("idx files", struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 1, 1), "has 16 bytes where"),
        ("rows", {"_target_": "os.system"}, "row 1 (_target_)"),
        ("row files", NESTED, "is no YAML file: maximum recursion depth exceeded"),
        ("row files", f"{DOUBLING}]".encode(), "its aliases come to more than 1,000,000 values"),
        ("row files", b"&own [1, *own]", "is no YAML file: maximum recursion depth"),
        ("row files", b"- 2001-99-99", "is no YAML file: month must be in 1..12"),
        ("rank files", NESTED, "cannot be read as YAML: maximum recursion depth exceeded"),
        ("rank files", b"&k {a: *k}", "cannot be read as YAML: maximum recursion depth exceeded"),
        ("rank files", f"a: {DOUBLING}]".encode(), "its aliases come to more than 1,000,000"),
        ("recipes", recipe(None), "The recipe's plan of prune_layers is none that this step makes"),
        ("recipes", recipe({"stages": [[2, 1], ""]}), "plan of prune_layers is none that this"),
        ("recipes", NESTED, "This is not a recipe"),
        ("weights, torch", b"", "is damaged or no weights file: "),
        ("weights, torch", b"\x80\x02X\x04", "is damaged or no weights file: "),
        ("weights, torch", b"Q", "is damaged or no weights file: "),
        ("checkpoints", b"", "No checkpoint in"),
        ("words before Hydra", ["data.root=" + "7" * 5000], "a number of more than 4,000 digits"),
        ("words before Hydra", ["@seed=1"], "@seed=1 names no key"),
        ("words before Hydra", ["+=1"], "+=1 names no key"),
        ("words before Hydra", ["~model@x=[a,b]"], "removes a list of options; name one"),
        ("command lines", ["+teacher.a.model=mnasnet"], "teacher.a.model=mnasnet is no network"),
        ("command lines", ["+teacher.a=1"], "teacher.a=1 is no teacher; give its network by"),
        ("saved networks", ("trained", "network.yaml", hashless(), False), "was changed after it"),
        ("command lines", ["trust=1"], "trust=1"),
        ("words of scripts", ["images=" + "7" * 5000], "cannot be read: Exceeds the limit"),
        ("study.json", b'{"name": "a", "storage": "b"}', "The study's storage b cannot be used: "),
        ("study.db", [(93776, 128)], "it is damaged; put back a copy of it"),
        ("study.db", [(44996, 0)], "it is damaged; put back a copy of it"),
        ("study.json", b"null", "study.json cannot be read; the study is damaged"),
        ("study.json", NESTED, "is no study: it has no readable study.json"),
        ("run: config.yaml", (*CONFIG, b"true\n", "enter"), "config.yaml cannot be read; the run"),
        ("run: config.yaml", (*CONFIG, b"- [", "images"), "cannot be read as YAML (while parsing"),
        ("run: config.yaml", (*CONFIG, NESTED, "images"), "as YAML (maximum recursion"),
        ("run: config.yaml", (*CONFIG, CRASHING, "tell"), None),  # the fast loader crashed
        ("run: config.yaml", (*CONFIG, f"a: {DOUBLING}]".encode(), "images"), "1,000,000 values"),
        ("run: hydra.yaml", (*HYDRA, b"true\n", "enter"), "hydra.yaml cannot be read; the run"),
        ("run: hydra.yaml", (*HYDRA, b"{}", "enter"), "hydra.yaml says no option of model"),
        (
            "run: overrides.yaml",
            ("unfinished", ".hydra/overrides.yaml", b"3\n", "resume"),
            "overrides.yaml is damaged",
        ),
        (
            "run: model/network.yaml",
            ("trained", "model/network.yaml", b"class_names: 3", "describe"),
            "network.yaml cannot be read; the run is damaged",
        ),
    ],
)  # fmt: skip
def test_a_sentence(target, value, says, homes, monkeypatch):
    monkeypatch.chdir(homes)
    TARGETS[target].prepare(homes)
    said = judge(lambda: TARGETS[target].read(homes, value), homes, allowed=TARGETS[target].allowed)
    assert (said is None and says is None) or says in said


def test_a_note_of_a_download_that_is_none_is_left(homes):
    assert judge(lambda: TARGETS["download notes"].read(homes, NESTED), homes) is None


def arrow(content: dict, features: object = None) -> bytes:
    import pyarrow as pa

    table = pa.table(content)
    if features is not None:
        note = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": note})
    written = io.BytesIO()
    with pa.ipc.new_stream(written, table.schema) as writer:
        writer.write_table(table)
    return written.getvalue()


@needs_extra("datasets")
def test_offsets_of_arrow_files_are_not_believed(homes):
    """They ended the process."""
    whole = arrow({"image": [b"abcd", b"efgh"], "label": ["a", "b"]})
    offsets = np.array([0, 4, 8], "<i4").tobytes()
    content = whole.replace(offsets, np.array([0, 4, 2**30], "<i4").tobytes())
    assert content != whole
    said = judge(lambda: TARGETS["arrow"].read(homes, content), homes)
    assert said is not None and "cannot be read" in said and "it is damaged" in said


@needs_extra("datasets")
@pytest.mark.parametrize(
    ("content", "features", "says"),
    [
        ({"image": [b"a"], "label": [0]}, {"label": 3}, None),
        ({"image": [b"a"], "label": [0]}, {"label": {"names": "ab"}}, "no list of names"),
        ({"image": [b"a"], "label": ["x"]}, {"label": {"names": ["a", "b"]}}, "the label 'x', and"),
    ],
)
def test_notes_of_arrow_files_are_not_believed(content, features, says, homes):
    said = judge(lambda: TARGETS["arrow"].read(homes, arrow(content, features)), homes)
    assert says is None or (said is not None and says in said)


@pytest.mark.slow
def test_a_program_whose_member_has_another_name_where_it_begins(homes):
    content = exported("torch_export")[".pt2"].replace(b"model_diet.json", b"model_diet.jsno", 1)
    said = judge(lambda: TARGETS["pt2, looked at"].read(homes, content), homes)
    assert said is not None and "cannot be read as an exported network: File name in" in said
