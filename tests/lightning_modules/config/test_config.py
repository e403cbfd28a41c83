"""Every option of every group composes, and what it describes can be made."""

import re
from itertools import pairwise

import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.config.check import check
from lightning_modules.config.options import options_of
from lightning_modules.experiment.stages import stages_of
from lightning_modules.registry import build
from tests.conftest import ROOT

CONF = ROOT / "conf"
OPTIONS = sorted(
    (group.name, option)
    for group in CONF.iterdir()
    if group.is_dir()
    for option in options_of(group.name)
)


@pytest.fixture
def composed(compose_config, homes):
    """Composes one option, with what it cannot do without."""

    def make(group, option):
        plus = "+" if group in ("teacher", "compression") else ""
        rootless = ("image_folder", "coco", "csv", "huggingface")
        needs = ["data.root=/photos"] if option in rootless else []
        needs += ["+compression=tucker"] if option == "original" else []
        return compose_config(f"{plus}{group}={option}", *needs)

    return make


def chosen(group, wanted=None):
    return [option for name, option in OPTIONS if name == group and wanted in (None, option)]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_resolves(composed, group, option):
    cfg = composed(group, option)
    resolved = OmegaConf.to_container(cfg, resolve=True)
    assert resolved["trainer"]["max_epochs"] >= 1


def test_debug_options_and_experiments_reach_the_top_level(compose_config):
    assert compose_config("debug=fast").trainer.limit_epochs == 1
    assert compose_config("debug=limit").trainer.limit_train_batches == 0.1
    overfit = compose_config("debug=overfit")
    assert overfit.augment.crop_scale is None and overfit.mixing._target_ is None
    assert compose_config("debug=profile").trainer.profiler == "simple"
    demo = compose_config("experiment=demo", "trainer.max_epochs=3")
    assert demo.model.variant == "resnet18"
    assert demo.trainer.max_epochs == 3
    assert list(demo.teacher) == ["original"]
    assert list(demo.compression) == ["tucker"]
    check(demo)


def test_the_founding_recipes(compose_config):
    several = compose_config("experiment=multi_teacher")
    assert list(several.teacher) == ["efficientnet_b4", "mobilenet_v3_large", "shufflenet_v2"]
    assert (several.distillation.temperature, several.distillation.alpha) == (6, 0.9)
    one = compose_config("experiment=shufflenet_kd", "data=trashnet")
    assert (one.distillation.temperature, one.distillation.alpha) == (20, 0.3)
    assert one.loss._target_.endswith("F1Focal")
    assert (one.data.image_size, one.data.name) == (80, "trashnet")


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_file_says_how_to_use_it_and_comments_its_keys(path):
    lines = path.read_text().splitlines()
    if lines[0] == "# @package _global_":  # Hydra reads it only there
        lines = lines[1:]
    assert re.match(r"# python run\.py ", lines[0]), "the first line is the command that uses it"
    for above, line in pairwise(lines):
        scalar = re.match(r"\s*[\w.]+:\s+[^#\s]", line)
        named = re.match(r"\s*(_target_|family|defaults|override .*|/\S+):", line.lstrip("- "))
        if scalar and not named:
            assert "#" in line + above.lstrip()[:1], f"{path.name}: no comment on {line!r}"


@pytest.mark.slow
@pytest.mark.parametrize("option", chosen("model"))
def test_models_compose_to_what_is_built_of_them(composed, option):
    """`test_building` builds and runs each option as `option_values` reads it."""
    from lightning_modules.config.options import option_values

    node = OmegaConf.to_container(composed("model", option).model)
    assert node == OmegaConf.to_container(OmegaConf.create(option_values("model", option)))


@pytest.mark.parametrize("option", chosen("data"))
def test_data_sources(composed, option):
    source = build(composed("data", option).data.source)
    assert callable(source.check)
    assert callable(source.read)


@pytest.mark.parametrize("option", chosen("augment"))
def test_augmentations(composed, option):
    import numpy as np

    node = composed("augment", option).augment
    assert {"backend", "seed", "image_size"} <= set(node)
    augmentation = build(node)
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    assert augmentation(image, 0, 3).shape == (64, 64, 3)
    assert (augmentation(image, 0, 3) == augmentation(image, 0, 3)).all()


@pytest.mark.parametrize("option", chosen("mixing"))
def test_mixings(composed, option):
    node = composed("mixing", option).mixing
    assert (node._target_ is None) == (option == "none")
    if option != "none":
        images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
        mixed, targets = build(node, num_classes=3)(images, torch.tensor([0, 1, 2, 0]))
        assert mixed.shape == images.shape and targets.shape == (4, 3)


@pytest.mark.parametrize("option", chosen("teacher"))
def test_teachers(composed, option):
    node = composed("teacher", option).teacher[option]
    assert node.weight == 1.0
    if option != "original":
        from lightning_modules.networks import build_network

        assert build_network(node.model, num_classes=3, image_size=64).num_classes == 3


@pytest.mark.parametrize("option", chosen("distillation"))
def test_distillations(composed, option):
    from lightning_modules.distillation.teachers import Teacher

    distillation = build(composed("distillation", option).distillation)
    teacher = Teacher("a", torch.nn.Identity())
    logits, answer, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    losses = distillation.logit_losses(
        logits, [answer], labels, teachers=[teacher], temperature=4.0
    )
    for term in distillation.feature_terms.values():
        student, theirs = torch.randn(4, 3, 5, 5), torch.randn(4, 7, 5, 5)
        losses[option] = term.comparison(student.shape, theirs.shape)(student, theirs)
    assert losses
    assert all(loss.ndim == 0 and loss > 0 for loss in losses.values())


def test_distillations_combine_on_the_command_line(compose_config):
    both = compose_config("distillation=[soft_targets,attention]").distillation
    assert list(both.terms) == ["soft_targets", "attention"]
    assert both == compose_config("distillation=combined").distillation
    cfg = compose_config(
        "distillation=[dkd,relational]",
        "distillation.terms.relational.weight=0.2",
        "distillation.alpha={schedule: cosine, from: 0.9, to: 0.1}",
        "+teacher.a.features={features.stage2: layer3}",
    )
    distillation = build(cfg.distillation)
    assert distillation.alpha.at(0, 3) == pytest.approx(0.9)
    assert distillation.feature_terms["relational"].weight == 0.2
    assert cfg.teacher.a.features == {"features.stage2": "layer3"}


@pytest.mark.parametrize("option", [o for o in chosen("loss") if o != "custom"])
@pytest.mark.parametrize("scheme", ["none", "balanced"])
def test_losses(compose_config, option, scheme):
    from lightning_modules.training.losses.building import build_loss

    cfg = compose_config(f"loss={option}", f"loss.class_weights={scheme}")
    loss = build_loss(cfg.loss, class_counts=[9, 3, 1])
    logits = torch.randn(4, 3, requires_grad=True)
    hard, soft = torch.tensor([0, 1, 2, 0]), torch.softmax(torch.randn(4, 3), dim=1)
    for targets in (hard, soft):
        value = loss(logits, targets)
        value.backward()
        assert value.ndim == 0
        assert logits.grad.isfinite().all()


def test_a_loss_of_ones_own_needs_no_counts(compose_config):
    from lightning_modules.training.losses.building import build_loss

    cfg = compose_config("loss=custom", "loss._target_=torch.nn.MultiMarginLoss", "+loss.margin=2")
    loss = build_loss(cfg.loss, class_counts=[9, 3, 1])
    assert loss.margin == 2
    assert loss(torch.zeros(1, 3), torch.tensor([0])) == pytest.approx(4 / 3)


@pytest.mark.parametrize("option", chosen("auxiliary"))
def test_auxiliary_losses(compose_config, option):
    from lightning_modules.networks import build_network
    from lightning_modules.training.auxiliary.building import build_auxiliary

    at = (
        [] if option in ("none", "outputs") else [f"auxiliary.{option}.at={{features.stage1: 0.5}}"]
    )
    cfg = compose_config(f"auxiliary={option}", "model.units=[1,1,1]", *at)
    network = build_network(cfg.model, num_classes=3, image_size=32)
    auxiliary = build_auxiliary(cfg.auxiliary, network, class_counts=[9, 3, 1], seed=0)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with auxiliary.features:
        network(images)
        found = auxiliary(images, torch.tensor([0, 1]))
    # This network has no auxiliary outputs: `training/test_classifier.py` has some that do.
    assert list(found) == [name for name in (option,) if name not in ("none", "outputs")]
    assert all(loss > 0 for loss in found.values())


def test_arcface_brings_its_head(compose_config):
    cfg = compose_config("loss=arcface", "model=resnet", "model.cosine_scale=30")
    assert cfg.loss.scale == cfg.model.cosine_scale == 30
    assert "cosine_scale" not in compose_config("model=resnet").model


@pytest.mark.slow
@pytest.mark.parametrize("option", chosen("optimizer"))
@pytest.mark.parametrize("schedule", chosen("scheduler"))
def test_optimizers_and_schedulers(compose_config, option, schedule):
    from lightning_modules.training.optimization import FitLength, make_optimizer, make_schedule

    cfg = compose_config(f"optimizer={option}", f"scheduler={schedule}")
    module = torch.nn.ModuleDict({"network": torch.nn.Linear(2, 2)})
    optimizer = make_optimizer(module, cfg.optimizer)
    assert [group["weight_decay"] for group in optimizer.param_groups][1] == 0
    node = make_schedule(optimizer, cfg.scheduler, FitLength(20, 4, 4))
    module["network"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    watched = [0.5] if "monitor" in node else []
    node["scheduler"].step(*watched)
    assert 0 < optimizer.param_groups[0]["lr"] <= cfg.optimizer.lr
    assert set(cfg.optimizer) >= {"lr", "weight_decay", "lr_factors", "layer_decay"}


ACCELERATED = ("gpu", "ddp")


@pytest.mark.parametrize("option", [o for o in chosen("trainer") if o not in ACCELERATED])
def test_trainers(composed, option, tmp_path):
    from lightning_modules.experiment.trainer import OWN_KEYS

    node = composed("trainer", option).trainer
    settings = {key: value for key, value in node.items() if key not in OWN_KEYS}
    trainer = build(settings, max_epochs=node.max_epochs, logger=False)
    assert trainer.max_epochs == 30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize("option", ACCELERATED)
def test_the_trainers_of_accelerators(composed, option):
    from lightning_modules.training.devices import device_count

    trainer = composed("trainer", option).trainer
    assert trainer.sync_batchnorm == (option == "ddp")
    assert device_count(trainer) == (torch.cuda.device_count() if option == "ddp" else 1)


@pytest.mark.parametrize("option", chosen("callbacks"))
def test_callbacks(composed, option):
    import pytorch_lightning as pl

    for node in composed("callbacks", option).callbacks.values():
        assert isinstance(build(node), pl.Callback)


LOGS = {  # what each logger leaves below the run directory
    "csv": "run/csv/version_0/hparams.yaml",
    "mlflow": "outputs/mlflow.db",
    "none": "run",
    "tensorboard": "run/tensorboard/hparams.yaml",
    "wandb": "run/wandb/offline-run-*",
}


@pytest.mark.parametrize("option", chosen("logger"))
def test_loggers(composed, homes, option):
    from lightning_modules.reporting import check_classes, run_loggers

    cfg = composed("logger", option)
    check_classes(cfg)
    (homes / "run").mkdir()
    with run_loggers(cfg, homes / "run", title="a", group="a-study") as loggers:
        made = loggers.of_stage("00_train")
        assert len(made) == (option != "none")
        for logger in made:
            logger.log_metrics({"val/f1": 0.5}, step=1)
    left = {name for name, pattern in LOGS.items() if list(homes.glob(pattern))}
    assert left == {"none", option}


@pytest.mark.parametrize("option", chosen("compression"))
def test_compression_steps(composed, option):
    cfg = composed("compression", option)
    stages = stages_of(cfg)
    assert [stage.name for stage in stages] == ["00_train", f"01_{option}"]
    assert callable(stages[1].step.plan)


def test_a_misspelt_argument_is_named(compose_config):
    from lightning_modules.errors import ConfigError
    from lightning_modules.training.optimization import make_optimizer

    cfg = compose_config("+optimizer.momentumm=0.9")
    module = torch.nn.ModuleDict({"network": torch.nn.Linear(2, 2)})
    with pytest.raises(ConfigError, match=r"AdamW cannot be built.*momentumm"):
        make_optimizer(module, cfg.optimizer)
