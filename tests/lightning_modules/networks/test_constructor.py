"""What a class or function of one's own is given, by the names that its signature has."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, meta_network


class Net(nn.Module):
    """Logits of a pooled image; keeps what its constructor was given."""

    def __init__(self, count: int, **given) -> None:
        super().__init__()
        self.fc, self.given = nn.Linear(3, count), given

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


def by_num_classes(num_classes=1000):
    return Net(num_classes)


def by_n_classes(width=4, n_classes=10):
    return Net(n_classes, width=width)


def by_nc(nc):
    return Net(nc)


def by_classes(classes: int):
    return Net(classes)


def by_num_labels(*, num_labels):
    return Net(num_labels)


def by_out_features(in_features=3, out_features=10):
    return Net(out_features)


def by_the_better_name(out_features=7, nc=10):
    return Net(nc, out_features=out_features)


def by_keywords(**settings):
    return Net(settings.pop("num_classes"), **settings)


def by_names_and_number(classes: list[str] | None = None, n_class=2):
    return Net(n_class, classes=classes)


class ByType(Net):
    def __init__(self, nclass: int) -> None:
        super().__init__(nclass)


by_partial = partial(by_n_classes, width=5)


def built(name, num_classes=6, image_size=(8, 12), **changes):
    node = {"_target_": f"{__name__}.{name}", **changes}
    return build_network(node, num_classes=num_classes, image_size=image_size)


@pytest.mark.parametrize(
    "name",
    [
        "by_num_classes", "by_n_classes", "by_nc", "by_classes", "by_num_labels",
        "by_out_features", "by_the_better_name", "by_keywords", "by_names_and_number", "ByType",
        "by_partial",
    ],
)  # fmt: skip
def test_the_number_of_classes_is_found_by_its_name(name):
    assert built(name).body.fc.out_features == 6


def test_what_is_typed_is_passed_on():
    assert built("by_n_classes", width=9).body.given == {"width": 9}
    assert built("by_the_better_name", out_features=9).body.given == {"out_features": 9}
    assert built("by_keywords", blocks="basic").body.given == {"blocks": "basic"}  # no file
    assert built("by_keywords", depth=[1, 2]).body.given == {"depth": [1, 2]}
    assert built("by_n_classes", n_classes=6).body.fc.out_features == 6
    with pytest.raises(ConfigError, match=r"shape \(1, 5\)"):
        built("by_n_classes", n_classes=5)


def sized(num_classes, image_size):
    return Net(num_classes, size=image_size)


def sided(num_classes, image_size: int):
    return Net(num_classes, size=image_size)


def img_sized(num_classes, img_size=224, in_channels=1, in_chans=3, input_channels=32):
    return Net(num_classes, size=img_size, channels=(in_channels, in_chans, input_channels))


def test_the_image_is_told_where_there_is_an_argument_for_it():
    assert built("sized").body.given == {"size": (8, 12)}
    assert built("sized", input_size=16).body.given == {"size": (16, 16)}
    assert built("sided", image_size=8).body.given == {"size": 8}
    wide = built("img_sized").body.given
    assert wide == {"size": (8, 12), "channels": (3, 3, 32)}  # 32 is no number of colors
    assert built("img_sized", image_size=8, in_channels=3).body.given["size"] == 8
    assert built("img_sized", img_size=32).body.given["size"] == 32


def without_a_number(width=3):
    return Net(width)


class FromConfig(nn.Module):
    def __init__(self, config) -> None:
        super().__init__()


def needs_more(num_classes, depth, width):
    return Net(num_classes)


def fails(num_classes):
    raise {}["deep"]


def fails_in_torch(num_classes):
    return nn.Linear(-1, num_classes)


def makes_a_dict(num_classes):
    return {"logits": num_classes}


network = Net(6)
NUMBER = 3
TEMPLATE = r"def __init__\(self, num_classes, width=32\).*docs/your_own_network.md"


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("without_a_number", {}, f"takes width, and no number of classes by a name .*{TEMPLATE}"),
        ("FromConfig", {}, r"takes config, and no number.*num_classes\): return FromConfig\("),
        ("needs_more", {}, r"missing 2 .*; give model.depth=... model.width=...\.$"),
        ("by_n_classes", {"widht": 3}, r"'widht' \(did you mean width\?\); it takes width, n_cla"),
        ("fails", {}, r"cannot be built: KeyError 'deep' \(fails, test_constructor.py line \d+\)"),
        ("fails_in_torch", {}, r"negative dimension -1.* \(fails_in_torch, test_constructor.py"),
        ("makes_a_dict", {}, "makes a dict, not a torch.nn.Module"),
        ("network", {}, "is a network already; name its class"),
        ("NUMBER", {}, "is no class and no function"),
        ("Nett", {}, "has no attribute 'Nett'"),
        ("by_nc", {"part": {"_target_": f"{__name__}.fails", "num_classes": 3}}, "'deep'"),
    ],
)
def test_what_goes_wrong_is_one_sentence(name, changes, says):
    for build in (built, partial(built, image_size=8)):
        with pytest.raises(ConfigError, match=says) as caught:
            build(name, **changes)
        assert "\n" not in str(caught.value)


def test_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"{tmp_path}, as nowhere.py or nowhere/; .*trust=\[no"):
        build_network({"_target_": "nowhere.Net"}, num_classes=3, image_size=8)
    (tmp_path / "half.py").write_text("import nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"No module named 'nowhere' \(<module>, half.py line 1"):
        build_network({"_target_": "half.Net"}, num_classes=3, image_size=8)


def reads_a_value(num_classes):
    weights = torch.rand(num_classes)
    return Net(num_classes, first=weights.numpy()[0])


def test_a_constructor_that_reads_its_random_values_is_described_for_real():
    node = {"_target_": f"{__name__}.reads_a_value"}
    assert meta_network(node, num_classes=3, image_size=8).body.given.keys() == {"first"}
