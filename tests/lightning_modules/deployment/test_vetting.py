"""A .pt2 file that would run code is refused before PyTorch sees it."""

import io
import json
import pickle
import zipfile

import pytest
import torch

from lightning_modules.deployment.formats import format_named
from lightning_modules.deployment.vetting import vet_pt2
from lightning_modules.errors import ConfigError

GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


class Bomb:
    def __reduce__(self):
        return print, ("code was run",)


def rewritten(source, target, edit):
    """A copy whose members, by their inner name, `edit` changed in place."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(members)).split("/")[0]
    inner = {name.split("/", 1)[1]: content for name, content in members.items()}
    edit(inner)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in inner.items():
            archive.writestr(f"{top}/{name}", content)
    return target


def in_json(member, change):
    def edit(members):
        content = json.loads(members[member])
        change(content)
        members[member] = json.dumps(content).encode()

    return edit


def target(name):
    return in_json(GRAPH, lambda c: c["graph_module"]["graph"]["nodes"][0].update(target=name))


def shape(text):
    def change(content):
        values = content["graph_module"]["graph"]["sym_int_values"]
        values["evil"] = {"as_expr": {"expr_str": text, "hint": None}}

    return in_json(GRAPH, change)


def pickled_weight(content):
    next(iter(content["config"].values()))["use_pickle"] = True


def pickled_sample(members):
    buffer = io.BytesIO()
    torch.save(Bomb(), buffer)
    members["data/sample_inputs/model.pt"] = buffer.getvalue()


ATTACKS = {
    "a power that takes for ever": (shape("Pow(Integer(9), Integer(9))"), "the shape"),
    "a call in a product": (shape("Mul(Integer(1), open('x'))"), "the shape"),
    "a guard": (in_json(GRAPH, lambda c: c.update(guards_code=["print(1)"])), "guards in Python"),
    "a pickled weight": (in_json(WEIGHTS, pickled_weight), "the pickled object"),
    "a pickled sample": (pickled_sample, "cannot be read as an exported network"),
    "an object": (
        in_json(
            "data/constants/model_constants_config.json",
            lambda c: c["config"].update(x={"path_name": "opaque_obj_0", "use_pickle": False}),
        ),
        "the pickled object 'x'",
    ),
    "legacy weights": (
        lambda m: m.update({"data/weights/model.pt": pickle.dumps(Bomb())}),
        "membe",
    ),
    "a library": (lambda m: m.update({"data/aotinductor/model/a.so": b"x"}), "a member 'data/aot"),
    "another function": (target("torch.hub.load"), "the operator 'torch.hub.load'"),
    "an attribute": (target("torch.ops.aten.add.Tensor.__class__"), "the operator"),
    "an operator of others": (target("#other:thing"), "the operator '#other:thing'"),
    "a call in a shape": (shape("__import__('os').system('true')"), "the shape"),
    "a name in a shape": (shape("s1 + exit()"), "the shape"),
    "a power": (shape("9**9**9"), "the shape"),
    "no graph": (lambda m: m.pop(GRAPH), "cannot be read"),
    "garbage": (lambda m: m.update({GRAPH: b"{"}), "cannot be read"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(attack, exported, tmp_path, capsys):
    edit, says = ATTACKS[attack]
    path = rewritten(exported("torch_export")[0], tmp_path / "evil.pt2", edit)
    with pytest.raises(ConfigError, match=says):
        format_named("torch_export").open_file(path, threads=1)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(exported, tmp_path):
    path = rewritten(exported("torch_export")[0], tmp_path / "evil.pt2", lambda members: None)
    vet_pt2(path)  # the copy itself is fine
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"other")
    with pytest.raises(ConfigError, match="members of one name"):
        vet_pt2(path)


def test_shapes_that_networks_have(exported, tmp_path):
    for text in ("Symbol('s77', positive=True, integer=True)", "3*Symbol('s0')/2 + (4 - 1)"):
        vet_pt2(rewritten(exported("torch_export")[0], tmp_path / "good.pt2", shape(text)))


def test_what_is_no_archive(tmp_path):
    for content in (b"", pickle.dumps(Bomb()), b"PK\x03\x04"):
        (tmp_path / "a.pt2").write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as an exported network"):
            vet_pt2(tmp_path / "a.pt2")
