"""The README: each of its commands is run, or composed where a run would need more than this.

A new command of the README needs a row in one of the two tables below.
"""

import importlib
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from lightning_modules.config.script_arguments import ScriptParser
from lightning_modules.runs import run_directory
from lightning_modules.search import study
from tests.conftest import ROOT, draw_folder, needs_extra, run_command

TEXT = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = r"(?:\S*python )?(?:run\.py|scripts/\S+\.py|make) "

NETWORK = "downloads"
HOURS = "takes hours"
# Composed, or its words parsed, only; why.
COMPOSED = {
    "run.py resume=RUN": "run below as resume=last",
    "run.py model._target_=my_net.Net": "the file is in docs/, and run by test_own_network",
    "make demo": "installs; its `run.py` is run below",
    "make test": "these tests",
    "make install": NETWORK,
    "make lint": "reads the code",
    "python run.py -m hydra/sweeper=optuna data=taco sweep.n_trials=100": HOURS,
    "run.py trainer=ddp trainer.devices=4": "needs four accelerators",
    "run.py experiment=multi_teacher": NETWORK,
    "run.py +compression=merge from_run=last": "the default network has no branches",
    "scripts/download.py taco": NETWORK,
    "scripts/download.py trashnet": NETWORK,
    "scripts/download.py fashion_mnist": NETWORK,
    "run.py data=fashion_mnist": NETWORK,
    "run.py data=taco": NETWORK,
    "run.py data=taco data.source.class_map=taco9": NETWORK,
    "run.py data=trashnet": NETWORK,
    "scripts/export.py RUN format=executorch": "needs an extra that `make install` leaves out",
    "scripts/app.py RUN RUN...": "needs an extra that `make install` leaves out",
}
# Run as they stand, with what is added so that they take less than ten minutes.
BRIEF = "trainer.max_epochs=1"
TRIALS = f"{BRIEF} sweep.n_trials=2"
RUN = {
    "python run.py --help": "",
    ".venv/bin/python run.py data=image_folder data.root=photos": "",
    "run.py model=mobilenet_v3 data.image_size=96 trainer.max_epochs=60": BRIEF,
    "run.py model=regnet model.variant=regnet_y_400mf": BRIEF,
    "run.py model=timm model.name=resnet50d": BRIEF,
    "scripts/describe.py model=vit image_size=224 --figure macs.png": "",
    "scripts/describe.py model=mobilenet_v3_small support=true": "",
    "run.py model=shufflenet_g3 model.weights=shufflenet_g3.pth": "",
    "run.py model=blocks/diet_found model.blocks.b3.out=24": "",
    "run.py model=rows model.blocks=my_network.yaml": BRIEF,
    "run.py '+teacher=[shufflenet_g3,resnet18]'": BRIEF,
    "run.py +teacher.a.run=DIR +teacher.b.run=DIR": "",
    "run.py +compression=tucker": "",
    "run.py model=mobilenet_v3_small +compression=svd compression.svd.target.macs=0.6": BRIEF,
    "run.py model=mobilenet_v3_small "
    "+compression=prune compression.prune.target.latency=0.6": BRIEF,
    "run.py model=mobilenet_v3_small +compression=prune compression.prune.ratios=optimal "
    "compression.prune.target.macs=0.6": BRIEF,
    "run.py +compression=hybrid compression.hybrid.target.macs=0.6": BRIEF,
    "run.py model=timm model.name=vit_tiny_patch16_224 data.image_size=224 +compression=prune "
    "compression.prune.scope=isomorphic": f"{BRIEF} model.name=test_vit +model.img_size=64 "
    "data.image_size=64",
    "run.py '+compression=[prune_layers,prune]' 'compression.prune_layers.keep=[2,5,2]' "
    "+teacher=original": "",
    "run.py model=resnet +compression=tucker compression.tucker.prefer=latency": BRIEF,
    "scripts/sensitivity.py last step=prune": "",
    "run.py model=mobilenet_v3_small +compression=svd compression.svd.ranks=sensitivity "
    "compression.svd.target.macs=0.75": BRIEF,
    "run.py +compression=tucker +teacher=original from_run=last": "",
    "run.py -m hydra/sweeper=optuna sweep.n_trials=30": TRIALS,
    "run.py -m hydra/sweeper=optuna sweep=architecture sweep.limits.macs=5e5": TRIALS,
    "python run.py -m hydra/sweeper=optuna sweep=architecture sweep.limits.macs=5e5": TRIALS,
    "run.py -m hydra/sweeper=optuna sweep.parallel=2": TRIALS,
    "run.py experiment=STUDY": BRIEF,
    "run.py -m seed=0,1,2": "",
    "scripts/report.py RUN|STUDY...": "",
    "scripts/report.py STUDY --top 3": "",
    "run.py resume=last": "",
    "scripts/evaluate.py RUN data=image_folder data.root=other": "",
    "scripts/evaluate.py RUN data.image_size=96": "",
    "scripts/export.py RUN format=onnx": "",
    "scripts/export.py RUN format=openvino": "",
    "scripts/predict.py RUN|FILE images/": "",
    "scripts/benchmark.py RUN|FILE... --figure f1.png": "",
    "run.py '+compression=[prune,quantize]' +teacher=original": "",
    "run.py +compression=quantize compression.quantize.activations=float": BRIEF,
    "scripts/sensitivity.py last step=quantize": "",
    "run.py '+compression=[prune,quantize_aware]' +teacher=original": "",
    "run.py model=mobilenet_v3_small data.image_size=80 '+compression=[prune,quantize]' "
    "+teacher=original": "trainer.max_epochs=2",
    "run.py loss=f1_cross_entropy": "",
    "run.py scheduler=cosine_restarts optimizer=radam": "",
    "run.py 'callbacks=[ema,freeze]' optimizer.layer_decay=0.8": "",
    "run.py lr_find=true": "",
    "run.py auxiliary=classifiers 'auxiliary.classifiers.at={features.stage2: 0.3}'": "",
    "run.py '+teacher=[resnet18,resnet50]' distillation=dkd "
    "distillation.aggregation=confidence_weighted": BRIEF,
    "run.py ... distillation.cache=4": "",
    "run.py data=coco data.root=DIR data.source.annotations=instances.json": "",
    "run.py data=image_folder data.root=photos.zip": BRIEF,
    "run.py data=image_folder data.root=scans 'data.source.exclude=[drafts,*_mask.png]'": BRIEF,
    "run.py data=csv data.root=labels.csv": BRIEF,
    "run.py data=huggingface data.root=STORED": BRIEF,
    "run.py data=image_folder data.root=scans data.split.file=splits.csv": BRIEF,
    "run.py data=image_folder data.root=scans 'data.split.groups=\"(patient\\d+)_\"'": BRIEF,
    "run.py data=image_folder data.root=photos data.exclude=list.csv": BRIEF,
    "scripts/audit_data.py STUDY": "",
    "scripts/audit_data.py data=...": "",
    "scripts/show_batch.py data=... augment=strong mixing=cutmix": "",
    "run.py augment=randaugment augment.n=2 augment.level=9": "",
    "run.py augment=strong '~augment.transforms.grid_shuffle' augment.transforms.color.p=0.5": "",
    "run.py mixing=cutmix mixing.alpha=1.0": "",
    "run.py sampling=balanced": "",
    "run.py data.image_size=[64,96]": "",
    "run.py -m data.fold=0,1,2,3,4 data.num_folds=5": "trainer.max_epochs=6",
    "run.py data.train_on_all=true": "",
    "scripts/clean_cache.py --older-than 30": "",
    "scripts/describe.py RUN": "",
}
EXTRAS = {
    "format=openvino": needs_extra("openvino"),
    "quantize_aware": needs_extra("torchao"),
    "audit_data.py STUDY": needs_extra("cleanlab"),
    "data=huggingface": needs_extra("pyarrow"),
    "launcher=joblib": needs_extra("hydra_plugins.hydra_joblib_launcher"),
}


def commands() -> list[str]:
    """All commands of the README, in blocks and in lines, each as it stands there."""
    lines = [line for block in FENCE.findall(TEXT) for line in block.splitlines()]
    found = [
        re.sub(r"\s+# .*| &$", "", typed[1]).strip()
        for line in lines
        if (typed := re.match(rf"\s*(?:\w+=\S+ )*({PROGRAM}.*)", line))
    ]
    for span in re.findall(r"`([^`]+)`", FENCE.sub("", TEXT)):
        words = " ".join(span.split()).replace(r"\|", "|")
        if re.match(PROGRAM, words):
            found.append(words)
    return list(dict.fromkeys(found))


def typed(command: str) -> list[str]:
    """The words behind `python`."""
    words = shlex.split(command)
    return words[1:] if words[0].endswith("python") else words


def of(program: str) -> list[str]:
    return [c for c in (*RUN, *COMPOSED) if typed(c)[0].startswith(program)]


def test_every_command_has_a_row():
    assert set(commands()) == {*RUN, *COMPOSED}
    assert not set(RUN) & set(COMPOSED)


@pytest.mark.parametrize("command", of("run.py"))
def test_it_composes(command):
    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    parser = OverridesParser.create()
    ours = ("...", "--help", "-m", "experiment=STUDY")
    overrides = [one(parser.parse_override(w)) for w in typed(command)[1:] if w not in ours]
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        compose("config", overrides=overrides, return_hydra_config=True)


def one(override: Override) -> str:
    """The override, or the first one of a sweep's."""
    if not override.is_sweep_override():
        return override.input_line
    return f"{override.key_or_group}={next(override.sweep_string_iterator())}"


@pytest.mark.parametrize("command", of("scripts/"))
def test_its_words_are_parsed(command, monkeypatch):
    plain = ScriptParser.parse

    class ParsedError(Exception):
        """Ends the script once its words are read."""

    def parse(parser, arguments=None):
        raise ParsedError(plain(parser, arguments))

    monkeypatch.setattr(ScriptParser, "parse", parse)
    script, *words = typed(command)
    main = importlib.import_module(script.removesuffix(".py").replace("/", ".")).main
    with pytest.raises(ParsedError):
        main(words)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("command", of("make"))
def test_make_knows_it(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_what_it_names_is_there():
    """Folders, files and modules of this project."""
    rooms = "compression|conf|datamodules|lightning_modules|scripts|tests"
    names = re.findall(rf"`((?:{rooms})/[^`<*\s]*)[`\s]", TEXT)
    names += re.findall(r"\]\(([^):]+)\)", TEXT)
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
    for module, imported in re.findall(r"^from (\S+) import (.+)$", TEXT, re.MULTILINE):
        if module.partition(".")[0] in ("compression", "datamodules", "lightning_modules"):
            for name in imported.split(", "):
                assert hasattr(importlib.import_module(module), name), (module, name)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A finished run, a study, an unfinished run and folders of images: what README means."""
    from tests.integration.test_taco import make_detection_set

    root = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        homes(patch, root, root / "first")
        run_command("run.py")
        (run,) = (root / "first").glob("????-??-??/*")
        run_command("run.py", "-m", "hydra/sweeper=optuna", BRIEF, "sweep.n_trials=3")
        (found,) = (root / "first" / "studies").iterdir()
    classes = yaml.safe_load((run / "model" / "network.yaml").read_text())["class_names"]
    draw_folder(root / "photos")
    draw_folder(root / "other", classes=tuple(classes))
    make_detection_set(root / "boxes", whole=True)
    lists(root / "photos")
    scans(root / "scans")
    return {
        "root": root, "run": run, "study": found, "photos": root / "photos",
        "other": root / "other", "boxes": root / "boxes", "scans": root / "scans",
    }  # fmt: skip


def lists(photos: Path) -> None:
    """Beside a folder of images: an archive of it, tables of it, and a set stored elsewhere."""
    root = photos.parent
    shutil.make_archive(str(photos), "zip", root, photos.name)
    images = sorted(path.relative_to(photos) for path in photos.rglob("*.*"))
    names = [path.as_posix() for path in images]
    labels = "".join(f"photos/{name},{Path(name).parent.name}\n" for name in names)
    (root / "labels.csv").write_text(f"path,label\n{labels}")
    (root / "list.csv").write_text(f"path,reason\n{names[0]},corrupt\n")
    rows = "[[1, Conv, [8, 3, 2]], [1, GlobalAvgPool, []], [1, FixedConv, [num_classes, 1]]]"
    (root / "my_network.yaml").write_text(f"width_multiple: 0.5\nbackbone: {rows}\n")
    if find_spec("pyarrow") is None:
        return
    import pyarrow
    from pyarrow import parquet

    pictures = [{"bytes": (photos / name).read_bytes(), "path": name} for name in names]
    columns = {"image": pictures, "label": [Path(name).parent.name for name in names]}
    (root / "stored").mkdir()
    parquet.write_table(pyarrow.table(columns), root / "stored" / "train.parquet")


def scans(folder: Path) -> None:
    """Two images of each of nine patients, a list of splits, a folder and a file that are none."""
    draw_folder(folder.with_name("drawn"))
    rows = []
    for image in sorted(folder.with_name("drawn").rglob("*.png")):
        kind = folder / image.parent.name
        kind.mkdir(parents=True, exist_ok=True)
        number = len(list(kind.iterdir()))
        name = f"patient{number // 2}_{number}.png"
        shutil.copy(image, kind / name)
        split = ("train", "val", "test")[number // 2 % 3]
        rows.append(f"{kind.name}/{name},{split}\n")
    folder.with_name("splits.csv").write_text(f"image,split\n{''.join(rows)}")
    (folder / "drafts").mkdir()
    shutil.copy(image, folder / "drafts")
    shutil.copy(image, kind / "0_mask.png")


def homes(patch: pytest.MonkeyPatch, root: Path, outputs: Path) -> None:
    """Sends what a command leaves to a folder, and lets all of them share drawn images."""
    patch.setenv("MODEL_DIET_OUTPUTS", str(outputs))
    patch.setenv("MODEL_DIET_FOUND", str(outputs / "found"))
    for name in ("CACHE", "DATA"):
        patch.setenv(f"MODEL_DIET_{name}", str(root / name.lower()))


def meant(command: str, places: dict[str, Path], folder: Path) -> list[str]:
    """A command with what the README leaves to the reader filled in."""
    run, found = str(places["run"]), str(places["study"])
    weights = ROOT.parent / "shared" / "weights" / "shufflenet_g3_wd4.pth"
    if not weights.exists():
        weights = run_directory_weights(places["run"], folder)
    words = {
        "RUN": [run], "DIR": [run], "RUN|STUDY...": [run, found], "STUDY": [found],
        "experiment=STUDY": [f"experiment={found}"],
        "RUN|FILE": [run], "RUN|FILE...": [run], "images/": [str(places["photos"])],
        "data=...": ["data=synthetic"], "...": [f"+teacher.a.run={run}"],
        "data.root=photos": [f"data.root={places['photos']}"],
        "data.root=other": [f"data.root={places['other']}"],
        "data.root=scans": [f"data.root={places['scans']}"],
        "data.root=STORED": [f"data.root={places['root'] / 'stored'}"],
        **{
            f"{key}={name}": [f"{key}={places['root'] / name}"]
            for key, name in (
                ("data.root", "photos.zip"), ("data.root", "labels.csv"),
                ("data.split.file", "splits.csv"), ("data.exclude", "list.csv"),
            )
        },
        "data.root=DIR": [f"data.root={places['boxes']}"],
        "+teacher.a.run=DIR": [f"+teacher.a.run={run}"],
        "+teacher.b.run=DIR": [f"+teacher.b.run={run}"],
        "model.weights=shufflenet_g3.pth": [f"model.weights={weights}"],
        "macs.png": [str(folder / "macs.png")], "f1.png": [str(folder / "f1.png")],
    }  # fmt: skip
    return [word for given in typed(command) for word in words.get(given, [given])]


def run_directory_weights(run: Path, folder: Path) -> Path:
    """The run's weights in a file such as torch saves, where no others are at hand."""
    import torch

    from lightning_modules.networks import load_network

    torch.save(load_network(run).body.state_dict(), folder / "shufflenet_g3.pth")
    return folder / "shufflenet_g3.pth"


def extras(command: str) -> list[pytest.MarkDecorator]:
    return [mark for part, mark in EXTRAS.items() if part in command]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shorter"),
    [pytest.param(*row, id=row[0], marks=extras(row[0])) for row in RUN.items()],
)
def test_it_runs(places, tmp_path, monkeypatch, command, shorter):
    outputs = tmp_path / "outputs"
    homes(monkeypatch, places["root"], outputs)
    outputs.mkdir()
    (outputs / "last_finished").write_text(f"{places['run']}\n")
    if command == "run.py resume=last":
        kept = ROOT / "tests" / "fixtures" / "runs" / "unfinished"
        run = shutil.copytree(kept, outputs / "unfinished")
        (outputs / "last_started").write_text(f"{run}\n")
    run_command(*meant(command, places, tmp_path), *shlex.split(shorter))


@pytest.mark.slow
def test_the_demo(tmp_path, monkeypatch, places):
    homes(monkeypatch, places["root"], tmp_path / "outputs")
    words = ["make", "--dry-run", "demo", "PY=python"]
    shown = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    said = run_command(*typed(shown.splitlines()[-1])).stdout
    assert "before and after" in said
    (screen,) = re.findall(r"`make demo` ends with\n\n```\n(.*?)```", TEXT, re.DOTALL)
    for line in screen.splitlines():
        if (name := re.match(r"(results|report|latency|W&B|next) ", line)) is not None:
            assert f"\n{name[0]}" in said
