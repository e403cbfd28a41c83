"""Which finished run a teacher node means; read from files, without torch."""

from pathlib import Path

from omegaconf import DictConfig

from lightning_modules.errors import ConfigError
from lightning_modules.runs import data_identity, run_directory, saved_run, without_paths

ORIGINAL = "original"  # the teacher that is this run's own network before compression


def find_run(name: str, node: DictConfig, data: DictConfig) -> Path | None:
    """The directory of a teacher's run: the one named, else the newest one that fits, else None.

    A run fits when it is finished and holds the node's model, uncompressed, trained on this data.
    A node with `weights` needs no run.

    Raises:
        ConfigError: the node names a directory without a saved network, or says too little.
    """
    if node.get("weights") is not None:
        return None
    if node.get("run") is not None:
        folder = run_directory.resolve(str(node.run), run_directory.FINISHED)
        saved_run.description(folder)
        return folder
    if node.get("model") is None:
        raise ConfigError(f"teacher.{name} has neither `run` nor `model`; give teacher.{name}.run.")
    fitting = [run for run in _finished_runs() if _fits(run, node.model, data)]
    return max(fitting, key=lambda run: (run / "metrics.json").stat().st_mtime, default=None)


def check_teachers(cfg: DictConfig, classes: tuple[str, ...], *, sweep: bool) -> None:
    """Refuses teachers that do not exist, cannot be trained now, or know other classes.

    Args:
        cfg: the composed configuration.
        classes: of the student's data, in order.
        sweep: whether this is a sweep or a trial of one.
    """
    if ORIGINAL in cfg.teacher and not cfg.compression:
        raise ConfigError(
            "+teacher=original is the network before compression, but this run compresses "
            "nothing; add '+compression=tucker' or take another teacher."
        )
    _check_weights(cfg)
    for name, node in cfg.teacher.items():
        if name != ORIGINAL:
            _check_teacher(name, node, cfg, classes, sweep=sweep)


def _check_weights(cfg: DictConfig) -> None:
    """All teachers together, and those of each stage that has a choice of its own."""
    groups = [list(cfg.teacher), [name for name in cfg.teacher if name != ORIGINAL]]
    for node in cfg.compression.values():
        chosen = (node.get("fine_tuning") or {}).get("teacher")
        groups.append([chosen] if isinstance(chosen, str) else list(chosen or []))
    for names in filter(None, groups):
        weights = [cfg.teacher[name].get("weight", 1.0) for name in names]
        if min(weights) < 0 or sum(weights) == 0:
            raise ConfigError(
                f"The weights {weights} of the teachers {', '.join(names)} must be >= 0 with a sum "
                "above 0."
            )


def _check_teacher(
    name: str, node: DictConfig, cfg: DictConfig, classes: tuple[str, ...], *, sweep: bool
) -> None:
    if node.get("weights") is not None:
        if not Path(node.weights).is_file():
            raise ConfigError(f"teacher.{name}.weights={node.weights}: there is no such file.")
        return
    run = find_run(name, node, cfg.data)
    if run is not None:
        _check_classes(name, run, classes)
    elif cfg.teacher_policy == "refuse" or (cfg.teacher_policy is None and sweep):
        why = "teacher_policy=refuse" if cfg.teacher_policy else "trials of a sweep train none"
        raise ConfigError(
            f"teacher.{name} has no finished run on this data, and {why}; train it first, name one "
            f"with teacher.{name}.run=DIR, or set teacher_policy=train."
        )


def _check_classes(name: str, run: Path, classes: tuple[str, ...]) -> None:
    theirs = tuple(saved_run.description(run)["class_names"])
    if theirs != tuple(classes):
        raise ConfigError(
            f"teacher.{name} ({run}) knows the classes {', '.join(theirs)}, but the data has "
            f"{', '.join(classes)}; a teacher needs the same classes in the same order."
        )


def _finished_runs() -> list[Path]:
    root = run_directory.outputs_root()
    files = [*root.glob("*/*/metrics.json"), *root.glob("teachers/*/metrics.json")]
    return [path.parent for path in files if (path.parent / "model" / "network.yaml").is_file()]


def _fits(run: Path, model: DictConfig, data: DictConfig) -> bool:
    try:
        saved = saved_run.description(run)
    except ConfigError:
        return False
    head = {"cosine_scale": model.get("cosine_scale")}  # it follows the loss: any teaches as well
    return (
        not saved["recipe"]
        and without_paths(saved["extra"].get("data")) == data_identity(data)
        and saved_run.same_structure({**saved["model"], **head}, model)
    )
