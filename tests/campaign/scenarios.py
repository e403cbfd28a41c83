"""What is killed: the commands of each scenario, small enough for seconds."""

from dataclasses import dataclass

TRAIN = (
    "run.py", "data=image_folder", "data.root={images}/few", "data.image_size=32",
    "data.batch_size=6", "model.units=[1,1,1]", "trainer.memory_format=contiguous",
    "latency.backend=null", "logger=none", "pictures=false", "report=false", "seed={seed}",
    "data.num_workers={workers}",
)  # fmt: skip
RUN = ("hydra.run.dir={home}/run",)
STUDY = ("hydra.sweep.dir={home}/study",)
MANY = (*(word.replace("few", "many") for word in TRAIN), "trainer.max_epochs=1")
TEACHER = ("+teacher=shufflenet_g3", "teacher.shufflenet_g3.model.units=[1,1,1]")


@dataclass(frozen=True)
class Scenario:
    """A command that is killed and continued.

    Attributes:
        name: As the table says.
        words: The command; {home}, {images}, {seed}, {workers} and {server} are filled in.
        resume: What continues it; empty: the same command does.
        before: Commands that nobody kills, for what it needs.
        beside: A command that runs at the same time, which nobody kills either.
        workers: Processes that load the images, one after the other in the campaign's runs.
        kills: How often one of its runs is killed, at least and at most.
    """

    name: str
    words: tuple[str, ...]
    resume: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    beside: tuple[str, ...] = ()
    workers: tuple[int, ...] = (0,)
    kills: tuple[int, int] = (4, 8)


def _training(name: str, *words: str, kills: tuple[int, int] = (5, 9)) -> Scenario:
    resume = ("run.py", "resume={home}/run")
    return Scenario(name, (*TRAIN, *RUN, *words), resume, workers=(0, 1, 2), kills=kills)


def _small(name: str) -> tuple[str, ...]:
    return (*TRAIN, "trainer.max_epochs=1", f"hydra.run.dir={{home}}/{name}")


SCENARIOS = (
    _training(
        "training: ema, freezing, restarts", "trainer.max_epochs=16", "callbacks=[ema,freeze]",
        "callbacks.freeze.epochs=5", "scheduler=cosine_restarts", "scheduler.cycle_epochs=6",
        "optimizer=sgd", "mixing=cutmix",
    ),
    _training(
        "training: best, early stopping, csv", "trainer.max_epochs=16", "callbacks=early_stopping",
        "callbacks.early_stopping.patience=6", "trainer.keep=best", "logger=csv",
        "sampling=balanced", "augment=strong", "scheduler=plateau",
    ),
    _training(
        "training: rate found, report", "trainer.max_epochs=12", "lr_find=true", "report=true",
        "pictures=true", "trainer.accumulate_grad_batches=2", "callbacks=ema",
        "augment=randaugment",
    ),
    _training(
        "teacher trained on the way", "trainer.max_epochs=8", *TEACHER, "distillation=dkd",
    ),
    _training(
        "stored logits", "trainer.max_epochs=8", *TEACHER, "distillation.cache=2",
    ),
    _training(
        "chain: prune, tucker", "trainer.max_epochs=5", "+compression=[prune,tucker]",
        "compression.prune.rounds=2", "compression.tucker.ratio=0.3", "+teacher=original",
    ),
    _training(
        "quantize_aware", "trainer.max_epochs=4", "+compression=quantize_aware", kills=(6, 8),
    ),
    Scenario(
        "search",
        (
            *TRAIN[:1], "-m", *TRAIN[1:], *STUDY, "hydra/sweeper=optuna", "sweep=bare",
            "sweep.sampler=grid", "sweep.objective=val/loss", "sweep.direction=minimize",
            "optimizer.lr=choice(0.002,0.02)",
            "loss.label_smoothing=choice(0.0,0.1)", "sweep.n_trials=4", "trainer.max_epochs=3",
        ),
        workers=(0, 1, 2),
    ),
    Scenario(
        "multirun",
        (
            *TRAIN[:1], "-m", *TRAIN[1:-2], TRAIN[-1], "seed={seed},11,12", *STUDY,
            "trainer.max_epochs=4",
        ),
        workers=(0, 1, 2),
    ),
    Scenario(
        "download",
        (
            "scripts/download.py", "taco", "--annotations", "{images}/taco.json", "--workers", "2",
            "--backoff", "0.05", "--attempts", "3", "--stall-timeout", "20",
        ),
    ),
    Scenario(
        "cache, used by two",
        (*MANY, *RUN),
        ("run.py", "resume={home}/run"),
        beside=(*MANY, "hydra.run.dir={home}/beside"),
    ),
    Scenario(
        "audit",
        (
            "scripts/audit_data.py", "data=image_folder", "data.root={images}/many", "--out",
            "{home}/audit",
        ),
    ),
    Scenario(
        "export",
        ("scripts/export.py", "{home}/exported", "format=torch_export"),
        before=(_small("exported"),),
    ),
    Scenario(
        "export, onnx",
        ("scripts/export.py", "{home}/exported", "format=onnx"),
        before=(_small("exported"),),
    ),
)  # fmt: skip
