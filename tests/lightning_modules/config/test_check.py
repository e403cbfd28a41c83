"""The check after composing refuses, in one sentence, what cannot work."""

import json

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lightning_modules.config.check import CheckBeforeStart, check
from lightning_modules.distillation import teacher_runs
from lightning_modules.errors import USER_ERRORS
from lightning_modules.runs import release, run_directory, same_version
from lightning_modules.runs.data_splits import data_identity
from lightning_modules.search import study
from tests.conftest import ROOT, draw_folder, run_command

AUXILIARY = ["auxiliary=classifiers", "auxiliary.classifiers.at={pool: 1}"]
CLASSES = ("blue", "green", "red")


def make_finished(root, *, classes=CLASSES, model=None, recipe=(), data=None):
    """A run directory as far as the check reads it."""
    (root / "model").mkdir(parents=True)
    content = {
        "class_names": list(classes),
        "model": model or {"name": "other"},
        "recipe": list(recipe),
        "extra": {"data": data},
    }
    (root / "model" / "network.yaml").write_text(yaml.safe_dump(content))
    (root / "metrics.json").write_text(json.dumps({}))
    return root


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=image_folder"], "data.root has no value"),
        (["data=image_folder", "data.root=/nowhere"], "/nowhere"),
        (
            ["data=taco", "data.root=/nowhere"],
            "/nowhere.*python scripts/download.py taco root=/nowhere",
        ),
        (["model=resnet", "model.variant=resnet19"], "resnet19.*resnet18"),
        (["pictures=yes"], "pictures=yes is not allowed; it must be true, false or null"),
        (["report=page"], "report=page is not allowed; it must be true, false or null"),
        (
            ["model=blocks/diet_found", "model.blocks.b3.k=${model.blocks.b3.k}"],
            "model.blocks.b3.k cannot be resolved: Recursive interpolation",
        ),
        (["model.weights=/nowhere.pth"], "model.weights=/nowhere.pth: there is no such file"),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1 is not allowed"),
        (["trainer.max_epochs=2.5"], "trainer.max_epochs=2.5 is not allowed"),
        (["data.batch_size=1"], "data.batch_size=1 is not allowed"),
        (["data.image_size=[8,8,8]"], "is not allowed; it must be pixels, as 64"),
        (["optimizer.lr=0"], "optimizer.lr=0 is not allowed"),
        (["seed=x"], "seed=x is not allowed"),
        (["augment=autoaugment", "augment.backend=albumentations"], "set augment.backend=torch"),
        (["augment.backend=pil"], "augment.backend=pil does not exist; there are albumentations"),
        (["augment=randaugment", "augment.level=31"], "level=31 is not allowed.*0..30"),
        (["augment=randaugment", "augment.n=x"], "n=x is not allowed"),
        (["augment=autoaugment", "augment.policy=mnist"], "policy=mnist does not exist"),
        (["augment.transforms.color.p=2"], "ColorJitter.p=2 is not allowed"),
        (["augment.transforms.color.hue=0.1"], "hue=0.1 is not allowed; give .smallest, largest"),
        (["augment.crop_scale=[0.9,0.1]"], "crop_scale=.0.9, 0.1. is not allowed"),
        (
            ["+augment.transforms.blur={_target_: torchvision.transforms.v2.GaussianBlur}"],
            "GaussianBlur cannot be used with augment.backend=albumentations",
        ),
        (["mixing=cutmix", "mixing.alpha=0"], "mixing.alpha=0 is not allowed"),
        (["mixing=cutmix_or_mixup", "mixing.mixup_alpha=-1"], "mixing.mixup_alpha=-1"),
        (["mixing=mixup", "mixing.probability=2"], "mixing.probability=2 is not allowed"),
        (["trainer.keep=first"], "trainer.keep=first does not exist; there are last, best"),
        (["trainer.memory_format=rows"], "memory_format=rows"),
        (
            ["latency.backend=abacus"],
            "latency.backend=abacus does not exist; there are eager, comp",
        ),
        (["score.split=train"], "score.split=train does not exist; there are val, test"),
        (["score.macs.reference_f1=0"], "reference_f1=0 is not allowed"),
        (["distillation.temperature=0"], "temperature=0 is not allowed; it must be above 0"),
        (["distillation.alpha=2"], "alpha=2 is not allowed; it must be in 0..1"),
        (["loss.class_weights=rare"], "loss.class_weights=rare does not exist; there are none, b"),
        (["loss.label_smoothing=2"], "loss.label_smoothing=2 is not allowed; it must be in 0..1"),
        (["loss=focal", "loss.gamma=-1"], "loss.gamma=-1 is not allowed; .* at least 0"),
        (["loss=logit_adjustment", "loss.tau=-1"], "loss.tau=-1 is not allowed"),
        (["loss=arcface", "loss.margin=3"], "loss.margin=3 is not allowed; .* 0..1.57"),
        (["loss=arcface", "model.cosine_scale=0"], "_scale=0 is not allowed; .* above 0"),
        (["loss=arcface", "~model.cosine_scale"], "loss.scale cannot be resolved"),
        (["loss=f1_focal", "loss.f1_weight=-1"], "loss.f1_weight=-1 is not allowed"),
        (
            ["auxiliary=classifiers"],
            "classifiers.at has no value; give modules .* as 'auxiliary.cl",
        ),
        (["auxiliary=reconstruction", "auxiliary.reconstruction.at=pool"], "at is pool; give mod"),
        ([*AUXILIARY, "auxiliary.classifiers.at={pool: -1}"], "the weight -1 of pool is not allo"),
        ([*AUXILIARY, "auxiliary.classifiers.loss.beta=1"], "classifiers.loss.beta=1 is not all"),
        (["+auxiliary.classifiers.at={pool: 1}"], "was not chosen; add auxiliary=classifiers"),
        (
            ["auxiliary=reconstruction", "auxiliary.reconstruction={at: {pool: 1}, error: l3}"],
            "auxiliary.reconstruction.error=l3 does not exist; there are mse, l1",
        ),
        (["loss=custom"], "loss._target_ has no value; give it as loss._target_="),
        (
            ["distillation.temperature={schedule: linear, from: 4, to: 0}"],
            "temperature=.* is not allowed; it must be above 0",
        ),
        (
            ["distillation.alpha={schedule: cosine, from: 0.5, to: 1.5}"],
            "alpha=.* is not allowed; it must be in 0..1",
        ),
        (
            ["distillation.aggregation=median"],
            "aggregation=median does not exist; there are mean_probabilities, mean_logits",
        ),
        (["distillation.cache=0"], "distillation.cache=0 is .*; it must be a whole number >= 1"),
        (
            ["distillation.augmentation_repeats=1.5"],
            "augmentation_repeats=1.5 is .*; it must be a whole number >= 1",
        ),
        (
            ["distillation.cache=2", "distillation.augmentation_repeats=3"],
            "cache=2 stores 2 augmentations and",
        ),
        (["~distillation.terms.soft_targets"], "distillation.terms is empty"),
        (
            ["distillation.terms.soft_targets.weight=-1"],
            "soft_targets.weight=-1 is .*; it must be at ",
        ),
        (["distillation.terms.soft_targets.weight=0"], r"\(soft_targets\) are 0"),
        (["+distillation.terms.dkd.weight=2"], "terms.dkd has settings but was not chosen"),
        (
            ["+teacher=resnet18", "distillation=hints"],
            "hints compares modules, but no teacher names any; give '.teacher.resnet18",
        ),
        (
            ["+teacher=resnet18", "teacher.resnet18.features={features.stage2: layer3}"],
            r"compares them; add one, as 'distillation=\[soft_targets,attention\]'",
        ),
        (
            ["+teacher=resnet18", "teacher.resnet18.features=layer3"],
            "teacher.resnet18.features=layer3 is not allowed; it must be pairs of modules, as ",
        ),
        (
            [
                "+teacher=resnet18",
                "teacher.resnet18.features={a: b}",
                "distillation=hints",
                "distillation.terms.hints.features=[c]",
            ],
            "hints.features names c, which no teacher's features pair; there are a",
        ),
        (
            [
                "+teacher=resnet18",
                "teacher.resnet18.features={a: b}",
                "distillation=attention",
                "distillation.cache=2",
            ],
            "distillation.terms.attention compares inner modules, which no cache keeps",
        ),
        (
            ["+teacher=resnet18", "distillation.cache=2", "mixing=cutmix"],
            "Mixed images are new in every batch.*leave distillation.cache=2 out",
        ),
        (
            ["+teacher=resnet18", "distillation=dkd", "mixing=cutmix"],
            "dkd needs one labelled class an image, and mixed images have two",
        ),
        (["+teacher=resnet18", "teacher.resnet18.precision=8"], "there are 32, 16, bf16"),
        (
            ["+teacher.a.run=x", "+teacher.a.wieght=2"],
            r"no key teacher.a.wieght \(did you mean weight\?\); there are run, m",
        ),
        (["+compression.tucker.fine_tuning.epochs=3"], "tucker has settings but was not chosen"),
        (
            ["+compression=tucker", "compression.tucker.fine_tuning.teacher=x"],
            "compression.tucker.fine_tuning.teacher names x, which this run does not have",
        ),
        (
            ["+compression=tucker", "+compression.tucker.fine_tuning.epoch=1"],
            r"no key compression.tucker.fine_tuning.epoch \(did you mean epochs\?\); there are ep",
        ),
        (
            ["+compression=tucker", "compression.tucker.fine_tuning.epochs=1.5"],
            "compression.tucker.fine_tuning.epochs=1.5 is not allowed; it must be a whole number",
        ),
        (
            ["+compression=tucker", "compression.tucker.fine_tuning.lr=0"],
            "compression.tucker.fine_tuning.lr=0 is not allowed; it must be above 0",
        ),
        (
            ["+compression=tucker", "+compression.tucker.energi=0.5"],
            r"no key compression.tucker.energi \(did you mean energy\?\); there are ranks, ratio",
        ),
        (
            ["+compression=svd", "compression.svd.ranks=vbmf", "compression.svd.target.macs=0.5"],
            "compression.svd.target is met by turning .* but compression.svd.ranks chooses the",
        ),
        (
            ["+compression=tucker", "compression.tucker.fine_tuning=3"],
            "compression.tucker.fine_tuning=3 is no node; give its keys",
        ),
        (
            ["+compression=tucker", "+compression.tucker.target={macs: 1.2}"],
            r"compression.tucker.target.macs=1.2 is not allowed; it must be a ratio in \(0, 1\]",
        ),
        (["+compression=[quantize,tucker]"], "compression.quantize must be the last step"),
        (
            ["+compression=[merge,tucker,prune]", "compression.prune.importance=bn_scale"],
            "compression.prune.importance=bn_scale reads the scales of BatchNorm, but merge, which "
            "comes before it",
        ),
        (
            ["+compression=[merge,prune]", "compression.prune.penalty=bn_scale"],
            "put merge after it, or choose another penalty",
        ),
        (
            ["+compression=prune", "compression.prune.importance=l3"],
            "compression.prune.importance=l3 does not exist; there are auto, l1, l2, bn_scale, "
            "taylor, fpgm, lamp, random, or {_target_: ...} of your own importance",
        ),
        (
            ["+compression=quantize", "compression.quantize.fine_tuning.epochs=3"],
            r"epochs=3: what quantize makes cannot be trained; .*\(for an int8 network there is",
        ),
        (
            [
                "+compression=quantize",
                "compression.quantize.exclude=sensitive",
                "compression.quantize.max_f1_drop=null",
            ],
            "max_f1_drop, which is null; give compression.quantize.max_f1_drop=0.01",
        ),
        (
            ["+compression=[quantize_aware,tucker]"],
            "compression.quantize_aware must be the last step",
        ),
        (
            ["+compression=quantize_aware", "compression.quantize_aware.averaging=2"],
            "compression.quantize_aware.averaging=2 is not allowed; it must be a ratio in 0..1",
        ),
        (["+compression=quantize_aware", "trainer=ddp_sim"], "quantize_aware trains on one device"),
        (
            [
                "+compression=quantize_aware",
                "+teacher=resnet18",
                "teacher.resnet18.features={features.stage2: layer3}",
                "distillation=hints",
            ],
            "distillation.terms.hints compares modules, which compression.quantize_aware does not",
        ),
        (
            [
                "+compression=quantize_aware",
                "auxiliary=classifiers",
                "auxiliary.classifiers.at={features.stage2: 0.3}",
            ],
            "auxiliary=classifiers: compression.quantize_aware has no modules",
        ),
        (["+teacher=original"], "original is the network before compression"),
        (["+teacher=resnet18", "teacher.resnet18.run=/nowhere"], "/nowhere does not exist"),
        (["+teacher=resnet18", "teacher.resnet18.weights=/w"], "weights=/w: there is no such"),
        (["+teacher=resnet18", "teacher.resnet18.weight=0"], "a sum above 0"),
        (
            [
                "+compression=tucker",
                "+teacher=[original,resnet18]",
                "teacher.resnet18.weight=0",
            ],
            r"weights \[0\] of the teachers resnet18 must be >= 0 with a sum above 0",
        ),
        (
            [
                "+compression=tucker",
                "+teacher=[original,resnet18]",
                "teacher.original.weight=0",
                "compression.tucker.fine_tuning.teacher=original",
            ],
            r"weights \[0\] of the teachers original must be",
        ),
        (["+teacher=resnet18", "teacher.resnet18.temperature=-1"], "temperature=-1"),
        (["+teacher=resnet18", "teacher_policy=refuse"], "no finished run on this data"),
        (
            ["trainer.strategy=fsdp"],
            "strategy=fsdp does not exist; there are auto, ddp",
        ),
        (["trainer.devices=0"], "trainer.devices=0 is neither a number of devices nor a list"),
        (["trainer.devices=two"], "trainer.devices=two is neither"),
        (["trainer.devices=[1,1]"], r"trainer.devices=\[1, 1\] is neither"),
        (["trainer=cpu", "trainer.devices=[0,1]"], "names devices, but the CPU is one"),
        (["trainer=ddp_sim", "trainer.devices=4000"], "more processes than there are cores"),
        (["trainer=ddp_sim", "trainer.sync_batchnorm=true"], "works on accelerators only"),
        (["optimizer.weight_decay=-1"], "optimizer.weight_decay=-1 is not allowed; it must be at"),
        (
            ["optimizer.layer_decay=0"],
            "optimizer.layer_decay=0 is not allowed; it must be a ratio in .0, 1.",
        ),
        (["optimizer.lr_factors={head:-1}"], r"lr_factors\[head\]=-1 is not allowed"),
        (["optimizer.lr_factors=0.1"], "lr_factors=0.1 must map layer patterns to multiples"),
        (
            ["scheduler=plateau", "scheduler.monitor=val/f2"],
            "val/f2 does not exist .*val/f1",
        ),
        (["scheduler=plateau", "scheduler.monitor=val/loss"], "set scheduler.mode=min"),
        (["scheduler=plateau", "scheduler.factor=1"], "scheduler.factor=1 is not allowed"),
        (["scheduler=step", "scheduler.interval=batch"], "interval=batch does not exist"),
        (["scheduler=cosine", "scheduler.warmup_epochs=-1"], "warmup_epochs=-1 is not"),
        (["scheduler.pct_start=1"], "scheduler.pct_start=1 is not allowed"),
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.monitor=f1"],
            "monitor=f1 does",
        ),
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.mode=min"],
            "set .*mode=max",
        ),
        (["callbacks=ema", "callbacks.ema.decay=1"], "callbacks.ema.decay=1 is not allowed"),
        (["callbacks=freeze", "callbacks.freeze.epochs=-1"], "callbacks.freeze.epochs=-1 is not"),
        (
            ["callbacks=freeze", "callbacks.freeze.patterns=head"],
            "patterns=head is not allowed; it must be a list of name patterns",
        ),
        (["trainer.precision=bf16-mix"], "bf16-mix does not exist .did you mean bf16-mixed"),
        (["trainer.accelerator=abacus"], "trainer.accelerator=abacus does not exist"),
        (["trainer.gradient_clip_val=-1"], "gradient_clip_val=-1 is not allowed"),
        (["trainer.accumulate_grad_batches=0"], "accumulate_grad_batches=0 is not allowed"),
        (["trainer.limit_train_batches=0"], "limit_train_batches=0 is not allowed"),
        (["lr_find=maybe"], "lr_find=maybe is not allowed; it must be true or false"),
        (["lr_find=true", "from_run=/x", "+compression=tucker"], "lr_find=true looks for the rate"),
        (["+teacher.a.weight=2"], "teacher.a has neither `run` nor `model`"),
        (["objective=val/f2"], "objective val/f2 is not measured; there are val/f1"),
    ],
)
def test_mistakes_of_one_run(homes, compose_config, overrides, sentence):
    with pytest.raises(USER_ERRORS, match=sentence) as refusal:
        check(compose_config(*overrides))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.strategy=ddp", "trainer.devices=2"], "cannot run inside a sweep"),
        (["trainer=ddp"], "trainer.devices=-1 cannot run inside a sweep"),
        (["+teacher=resnet18"], "trials of a sweep train none"),
    ],
)
def test_mistakes_of_a_sweep(homes, compose_config, overrides, sentence):
    with pytest.raises(USER_ERRORS, match=sentence):
        check(compose_config(*overrides), sweep=True)


@pytest.fixture
def check_sweep(homes, folder):
    """Checks a multirun's command line as Hydra's hook does."""

    def checked(*words, root=True):
        run_directory.register_resolvers()
        study.register_sweeper_defaults()
        words = ["data=image_folder", *([f"data.root={folder}"] if root else []), *words]
        plain = [word for word in words if "," not in word]  # as Hydra composes the parent
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("config", overrides=plain, return_hydra_config=True)
            cfg.hydra.overrides.task = words
            CheckBeforeStart().on_multirun_start(cfg)

    return checked


def test_a_sweep_starts_when_a_trial_can_run(check_sweep, folder, homes):
    check_sweep("data.fold=0,1,7", "data.num_folds=3")
    check_sweep(f"data.root=/nowhere,{folder}", root=False)
    check_sweep("optimizer.lr=-1,-2")  # each trial says so itself
    assert len(list((homes / "outputs" / "studies").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seed=0,1"], "data.root has no value"),
        (["data.root=/x,/y"], "/y does not exist"),
        (["data.fold=7,8", "data.num_folds=3"], "data.fold=8 is not one of"),
        (["seed=0,1", "trainer.strategy=ddp"], "cannot run inside a sweep"),
        (["seed=0,1", "optimizer.lrr=1,2"], "no key optimizer.lrr; did you mean lr"),
        (["data.fold=0,1", "data.num_folds=3", "optimizer.lrr=1,2"], "no key optimizer.lrr"),
    ],
)
def test_a_sweep_without_a_trial_that_can_run_leaves_nothing(check_sweep, homes, words, sentence):
    with pytest.raises(SystemExit, match=f"error: .*{sentence}"):
        check_sweep(*words, root="data.root" not in "".join([sentence, *words]))
    assert not (homes / "outputs").exists()


def test_processes_are_started_by_the_run_and_not_by_torchrun(homes, compose_config, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(USER_ERRORS, match="start it with python, not torchrun"):
        check(compose_config("trainer=ddp_sim"))


def test_several_devices_pass(homes, compose_config):
    for words in (["trainer=ddp_sim"], ["trainer=ddp"], ["trainer.devices=[0,3]"]):
        check(compose_config(*words))


def test_a_callback_may_be_left_out(homes, compose_config):
    check(compose_config("callbacks=freeze", "callbacks.progress=null", "callbacks.freeze=null"))


def test_the_defaults_pass(homes, compose_config):
    check(compose_config())
    check(compose_config(), sweep=True)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        ("callbacks=ema", "callbacks=progress", True),
        ("callbacks=progress", "callbacks=freeze", True),
        ("callbacks=[ema,freeze]", "callbacks=[ema,freeze,early_stopping]", False),
        ("callbacks=early_stopping", "callbacks=progress", False),
    ],
)
def test_a_resume_keeps_the_callbacks_that_decide_about_weights(
    homes, compose_config, before, now, changes
):
    (homes / "run" / ".hydra").mkdir(parents=True)
    OmegaConf.save(compose_config(before), homes / "run" / ".hydra" / "config.yaml")
    cfg = compose_config(now, f"resume={homes}/run")
    if not changes:
        check(cfg)
        return
    with pytest.raises(USER_ERRORS, match=r"callbacks.\w+ decides about the weights"):
        check(cfg)


def test_a_teacher_with_other_classes_names_both(homes, folder, compose_config):
    run = make_finished(homes / "teacher", classes=("red", "green", "blue"))
    with pytest.raises(USER_ERRORS, match="knows the classes red, green, blue.*blue, green, red"):
        check(compose_config("data=image_folder", f"data.root={folder}", f"+teacher.a.run={run}"))


def test_from_run_with_other_classes(homes, folder, compose_config):
    model = OmegaConf.to_container(compose_config().model, resolve=True)
    run = make_finished(homes / "run", classes=("cat", "dog"), model=model)
    with pytest.raises(USER_ERRORS, match="knows the classes cat, dog"):
        check(
            compose_config(
                "data=image_folder", f"data.root={folder}", f"from_run={run}", "+compression=tucker"
            )
        )


def test_from_run_with_another_model(homes, folder, compose_config):
    overrides = ["data=image_folder", f"data.root={folder}", "+compression=tucker"]
    model = OmegaConf.to_container(compose_config(*overrides).model, resolve=True)
    run = make_finished(homes / "run", model={**model, "weights": None})
    weights = folder / "w.pth"
    weights.touch()
    check(compose_config(*overrides, f"from_run={run}", f"model.weights={weights}"))
    with pytest.raises(USER_ERRORS, match="holds another network than model=shufflenet_g3"):
        check(compose_config(*overrides, f"from_run={run}", "model.units=[2,5,2]"))


def test_from_run_and_the_head_that_a_loss_wants(homes, folder, compose_config):
    overrides = ["data=image_folder", f"data.root={folder}", "+compression=tucker"]
    plain = OmegaConf.to_container(compose_config(*overrides).model, resolve=True)
    run = make_finished(homes / "plain", model=plain)
    with pytest.raises(USER_ERRORS, match="plain was trained without the cosine head that loss=ar"):
        check(compose_config(*overrides, "loss=arcface", f"from_run={run}"))
    run = make_finished(homes / "cosine", model={**plain, "cosine_scale": 16.0})
    check(compose_config(*overrides, "loss=arcface", f"from_run={run}"))
    check(compose_config(*overrides, "+model.cosine_scale=16", f"from_run={run}"))
    with pytest.raises(USER_ERRORS, match="holds another network"):
        check(compose_config(*overrides, f"from_run={run}"))


def test_one_class_is_refused_with_what_may_be_meant(homes, compose_config):
    draw_folder(homes / "photos" / "dataset")
    (homes / "photos" / "dataset" / "train").rename(homes / "photos" / "dataset" / "a")
    (homes / "photos" / "dataset" / "val").rename(homes / "photos" / "dataset" / "b")
    cfg = compose_config("data=image_folder", f"data.root={homes / 'photos'}")
    with pytest.raises(USER_ERRORS) as caught:
        check(cfg)
    assert str(caught.value) == (
        "A classifier tells at least 2 classes apart, and data=image_folder has dataset only. "
        "dataset/ is the only class, and all its images lie in the folders a, b: if these are the "
        f"classes, give data.root={homes / 'photos' / 'dataset'}."
    )


def test_from_run_without_a_step(homes, compose_config):
    with pytest.raises(USER_ERRORS, match="no compression step was chosen"):
        check(compose_config("from_run=/x"))


def test_a_bare_teacher_is_the_newest_fitting_run(homes, folder, compose_config):
    cfg = compose_config("+teacher=resnet18", "data=image_folder", f"data.root={folder}")
    node = cfg.teacher.resnet18
    plain = OmegaConf.to_container(node.model)
    data = data_identity(cfg.data)
    day = run_directory.outputs_root() / "2026-01-01"
    fitting = {"model": {**plain, "weights": None, "pretrained": False}, "data": data}
    for name, settings in {
        "old": fitting,
        "compressed": {**fitting, "recipe": ["tucker: ..."]},
        "other_model": {**fitting, "model": {**plain, "variant": "resnet34"}},
        "other_data": {**fitting, "data": {**data, "name": "taco"}},
    }.items():
        make_finished(day / name, **settings)
    assert teacher_runs.find_run("resnet18", node, cfg.data).name == "old"
    newer = make_finished(run_directory.outputs_root() / "teachers" / "new", **fitting)
    assert teacher_runs.find_run("resnet18", node, cfg.data) == newer
    source = {**data["source"], "root": str(folder.resolve())}  # as runs kept it before
    earlier = {**fitting, "data": {**data, "source": source}}
    newest = make_finished(run_directory.outputs_root() / "teachers" / "newest", **earlier)
    assert teacher_runs.find_run("resnet18", node, cfg.data) == newest


def test_a_teacher_may_have_the_head_of_another_loss(homes, folder, compose_config):
    cfg = compose_config("+teacher=resnet18", "data=image_folder", f"data.root={folder}")
    model = {**OmegaConf.to_container(cfg.teacher.resnet18.model), "cosine_scale": 16.0}
    run = run_directory.outputs_root() / "teachers" / "arcface"
    make_finished(run, model=model, data=teacher_runs.data_identity(cfg.data))
    assert teacher_runs.find_run("resnet18", cfg.teacher.resnet18, cfg.data) == run


def test_nothing_heavy_is_imported_by_the_check():
    code = (
        "import sys; from hydra import compose, initialize_config_dir\n"
        "from lightning_modules.config import check\n"
        "from lightning_modules.runs import run_directory\n"
        "from lightning_modules.search import study\n"
        "run_directory.register_resolvers(); study.register_sweeper_defaults()\n"
        "with initialize_config_dir(config_dir=sys.argv[1], version_base='1.3'):\n"
        "    check.check(compose('config'))\n"
        "heavy = {'torch', 'pytorch_lightning', 'albumentations', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run_command("-c", code, str(ROOT / "conf"))


def test_draw_folder_is_what_the_check_accepts(tmp_path, homes, compose_config):
    root = draw_folder(tmp_path / "p")
    check(compose_config("data=image_folder", f"data.root={root}"))


@pytest.mark.parametrize("kind", ["run", "sweep"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra.{kind}.dir=''"], "error: hydra.{kind}.dir has no value; name a folder"),
        (["hydra.{kind}.dir={file}"], "error: hydra.{kind}.dir=.*taken is no folder; name another"),
        (["hydra.job.chdir=true"], "error: hydra.job.chdir=true would give all relative paths"),
    ],
)
def test_where_a_run_cannot_lie(homes, compose_config, monkeypatch, kind, words, sentence):
    monkeypatch.setattr("lightning_modules.config.check.check_multirun", lambda cfg: None)
    (homes / "taken").write_text("")
    words = [word.format(kind=kind, file=homes / "taken") for word in words]
    cfg = compose_config("data=synthetic", *words, hydra=True)
    begin = getattr(CheckBeforeStart(), f"on_{'multirun' if kind == 'sweep' else 'run'}_start")
    with pytest.raises(SystemExit, match=sentence.format(kind=kind)):
        begin(cfg)


def test_outputs_that_cannot_be_written_are_one_sentence(homes, compose_config, monkeypatch):
    (homes / "taken").write_text("")
    monkeypatch.setenv("MODEL_DIET_OUTPUTS", str(homes / "taken"))
    run_directory._run_folder.cache_clear()
    cfg = compose_config("data=synthetic", hydra=True)
    with pytest.raises(SystemExit, match=r"^error: No run can be written to .*taken/[^\n]*$"):
        CheckBeforeStart().on_run_start(cfg)


def test_the_version_is_noted_before_hydra_writes(compose_config, tmp_path):
    run = tmp_path / "run"
    cfg = compose_config("data=synthetic", f"hydra.run.dir={run}", hydra=True)
    try:
        CheckBeforeStart().on_run_start(cfg)
    finally:
        release(run)
    assert same_version(run) and not (run / ".hydra").exists()
