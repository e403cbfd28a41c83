"""Damaged inputs, made of whole ones: plain data changed at its nodes, text and bytes changed."""

import copy
import gzip
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

# What stands for text that no Python object could be written as.
NESTED = {f"@nested-{depth}@": "[" * depth + "]" * depth for depth in (60, 3_000, 60_000)}
LONG = {f"@digits-{count}@": "7" * count for count in (400, 5_000)}
# Of YAML: code, an object that holds itself, and lists that double ten and forty times.
DOUBLING = "[" + ", ".join(["&a0 [x, x]"] + [f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)])
YAML_ONLY = {
    "@code@": "!!python/object/apply:os.system [touch ran]",
    "@name@": "!!python/name:os.system",
    "@itself@": "&own [1, *own]",
    "@keyed@": "&k {a: *k}",
    "@doubling@": f"{DOUBLING}]",
    "@list key@": "{[1, 2]: 3}",
    "@date@": "2001-99-99",
    "@sexagesimal@": "1:99:99",
    "@binary@": "!!binary abc",
    "@set@": "!!set {a, b}",
    "@merge@": "{<<: 3}",
    "@alias@": "*nobody",
}
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 2**31, 2**63, -(10**18), 10**30, 0.5, -0.0, 1e308, math.inf,
    -math.inf, math.nan, "", " ", ".", "..", "nan", "null", "\x00", "a\x00b", "\ud800", "a\nb",
    "~", "../../x.png", "/etc/passwd", "C:\\x", "${x}", "${oc.env:HOME}", "${now:%Y}", "é" * 90,
    "x" * 5_000, "a/" * 3_000, "0.0.0", "1e999", [], {}, [[]], [None] * 4, [1] * 400, [0.5, "a"],
    {"_target_": "os.system"}, {"a": {"b": {}}}, {"": 1}, {"_target_": "builtins.eval"},
    "os.system", "builtins.exec", *NESTED, *LONG,
]  # fmt: skip


@st.composite
def changed(draw: Any, value: Any, *, most: int = 3, odd: Sequence[Any] = ODD) -> Any:
    """Plain data with up to `most` of its nodes dropped, doubled, exchanged or made odd."""
    root = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(root))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(("odd", "odd", "drop", "double", "other", "rename", "wrap")))
        if what == "odd":
            holder[key] = copy.deepcopy(draw(st.sampled_from(odd)))
        elif what == "drop" and holder is not root:
            del holder[key]
        elif what == "double" and isinstance(holder, list) and holder is not root:
            holder.insert(key, copy.deepcopy(holder[key]))
        elif what == "other":
            other, at = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = copy.deepcopy(other[at])
        elif what == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "id", "x.y", "_target_", "0", "\ud800")))] = holder[
                key
            ]
        elif what == "wrap":
            holder[key] = [holder[key]] if draw(st.booleans()) else {"a": holder[key]}
    return root[0]


def _places(node: Any) -> Any:
    """(container, key) of each node below one."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(pairs):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


@st.composite
def damaged(draw: Any, contents: Sequence[bytes], *, most: int = 4) -> bytes:
    """One of some contents, with up to `most` spans flipped, cut, zeroed, doubled or exchanged."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((1, 1, 2, 4, 8, 100)))
        span = slice(start, start + length)
        match draw(st.sampled_from(("flip", "set", "cut", "zero", "double", "splice", "put"))):
            case "flip" if start < len(content):
                content[start] ^= 1 << draw(st.integers(0, 7))
            case "set" if start < len(content):
                content[start] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x2C)))
            case "cut":
                del content[start:]
            case "zero":
                content[span] = bytes(len(content[span]))
            case "double":
                content[start:start] = content[span]
            case "splice":
                other = draw(st.sampled_from(contents))
                content[start:] = other[draw(st.integers(0, len(other))) :]
            case "put":
                content[span] = draw(st.binary(max_size=8))
    return bytes(content)


def written_json(value: Any) -> bytes:
    """JSON as careless programs write it, with what stands for odd text put in."""
    return _with_odd_text(json.dumps(value), {**NESTED, **LONG}).encode()


def written_yaml(value: Any) -> bytes:
    """YAML, the same."""
    text = yaml.safe_dump(value, allow_unicode=False, sort_keys=False)
    text = _with_odd_text(text, {**NESTED, **LONG, **YAML_ONLY}, quote="'")
    return text.encode("utf-8", "surrogateescape")


def written_csv(rows: Any) -> bytes:
    """Rows as CSV, nothing quoted that is not quoted already."""
    if not isinstance(rows, list):
        return str(rows).encode("utf-8", "replace")
    lines = [",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows]
    return _with_odd_text("\n".join(lines), LONG, quote="").encode("utf-8", "surrogatepass")


def _with_odd_text(text: str, odd: dict[str, str], quote: str = '"') -> str:
    for name, meant in odd.items():
        text = text.replace(f"{quote}{name}{quote}", meant)
    return text


def files(
    value: Any,
    write: Callable[[Any], bytes],
    *,
    more: Sequence[bytes] = (),
    odd: Sequence[Any] = ODD,
) -> st.SearchStrategy[bytes]:
    """A file of plain data: changed at its nodes, or in its bytes.

    Args:
        value: of the whole file.
        write: makes a file of it.
        more: contents besides.
        odd: what takes the place of a node.
    """
    return changed(value, odd=odd).map(write) | damaged([write(value), *more])


def json_files(value: Any, *more: bytes) -> st.SearchStrategy[bytes]:
    """JSON files, some of which hold something else."""
    return files(value, written_json, more=[*more, b"", b"null", b"[]", b"\xff\xfe{}", b"\xef\xbb"])


def yaml_files(value: Any, *more: bytes) -> st.SearchStrategy[bytes]:
    """YAML files, some of which hold something else."""
    odd = [*ODD, *YAML_ONLY]
    others = [*more, b"", b"- a\n- b: [", b"\t", b"--- 1\n--- 2", b"\x00", b"%TAG", b"a: b: c"]
    return files(value, written_yaml, more=others, odd=odd)


def csv_files(rows: list[list[Any]], *more: bytes) -> st.SearchStrategy[bytes]:
    """Tables, some of which are something else."""
    whole = written_csv(rows)
    others = [*more, b"", b'"', b'a,"b\nc,d', whole.replace(b",", b";"), whole.replace(b",", b"\t")]
    others += [whole.decode().encode("utf-16"), b"\xef\xbb\xbf" + whole, gzip.compress(whole)]
    return files(rows, written_csv, more=others)
