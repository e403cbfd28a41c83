"""Which images a saved network is measured on, in which splits, by which labels; needs no torch.

The run's own data is measured in the splits of the run. Other data is measured in its own splits,
and whole where it has none: nothing of it was trained on, so nothing need be held back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from datamodules.errors import DataError, shown
from datamodules.sources import Index, Item, Source
from datamodules.splits import leave_out
from lightning_modules.errors import ConfigError
from lightning_modules.runs.data_splits import build_source, make_splits
from lightning_modules.runs.trained_images import TrainedOn, trained_on

WHOLE = "all"  # the split of every labelled image
TRAIN, EVALUATED = "train", ("val", "test")

Members = Mapping[str, list[Item]]


@dataclass(frozen=True)
class EvaluationData:
    """Labelled images to measure a network on.

    Attributes:
        index: the chosen splits; labels are indices into the network's classes.
        own: whether the network's run was trained on this data set.
        notes: what a person should know of the images, a sentence each.
    """

    index: Index
    own: bool
    notes: tuple[str, ...]


def evaluation_data(
    run: Path, cfg: DictConfig, class_names: Sequence[str] | None, chosen: Sequence[str] = ()
) -> EvaluationData:
    """The images that a run's network is measured on.

    Args:
        run: the run directory.
        cfg: its configuration, with a command's overrides.
        class_names: of the network, in the order of its outputs; None: nobody named them, and the
            data's are taken for them.
        chosen: splits, of those that there are, or `all`; none: `val` and `test`, or what there is.

    Raises:
        ConfigError: the data has a class that the network does not know, or no such split.
        DataError: it is not there, or cannot be used.
    """
    source: Source = build_source(cfg.data)
    classes = source.check()
    class_names = classes if class_names is None else class_names
    if not source.is_made:
        _refuse_unknown(classes, class_names, run, cfg)  # before anything is downloaded or drawn
        source.prepare()
    found, trained = source.read(), trained_on(run)
    own = trained.has(cfg.data, found)
    index = _own_splits(found, trained, cfg) if own else _as_found(found, trained, cfg)
    labelled = {name: items for name, items in index.splits.items() if name != "predict" and items}
    used = {item.label for items in labelled.values() for item in items} if own else None
    names = [name for label, name in enumerate(classes) if used is None or label in used]
    _refuse_unknown(names, class_names, run, cfg)
    splits = relabeled(_chosen(labelled, chosen, run, cfg), classes, class_names)
    if own:
        notes = [*changes(index, run), *_new_split(found, trained, cfg)]
    else:
        notes = [] if chosen else [*_other_splits(labelled, splits, cfg)]
        notes += _missing_classes(splits, class_names)
        notes += [] if trained.is_known else [trained.unknown]
    notes += _seen(splits, trained, own=own)
    index = replace(index, class_names=tuple(class_names), splits=splits)
    return EvaluationData(index, own, tuple(map(shown, notes)))


def _refuse_unknown(found: Sequence[str], known: Sequence[str], run: Path, cfg: DictConfig) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ConfigError(
            f"{run} knows the classes {', '.join(known)}, but data={cfg.data.name} has "
            f"{', '.join(unknown)} too; rename or leave out what the network cannot know."
        )


def relabeled(
    splits: Members, classes: Sequence[str], known: Sequence[str]
) -> dict[str, list[Item]]:
    """The same images, whose labels are indices into `known` instead of `classes`."""
    label_of = {label: known.index(name) for label, name in enumerate(classes) if name in known}
    return {
        split: [item._replace(label=label_of[item.label]) for item in items]
        for split, items in splits.items()
    }


def _own_splits(index: Index, trained: TrainedOn, cfg: DictConfig) -> Index:
    """The run's own data in the run's splits; of an earlier version's run the cache has them."""
    return trained.splits(cfg).apply(index, write=trained.file is None)


def _as_found(index: Index, trained: TrainedOn, cfg: DictConfig) -> Index:
    """Other data in its own splits: by a file that the command names, or as the source has them.

    The run's own list of splits, and of images to leave out, is not about this data.
    """
    own = trained.cfg.data
    if cfg.data.split.file is not None and cfg.data.split.file != own.split.file:
        return make_splits(cfg, remembers=False).apply(index)
    exclude = cfg.data.get("exclude")
    index = leave_out(index, None if exclude == own.get("exclude") else exclude)
    splits = dict(index.splits)
    rest = splits.pop("unsplit", [])
    ready = any(splits.get(name) for name in (TRAIN, *EVALUATED))
    return replace(index, splits={TRAIN if ready else WHOLE: rest, **splits} if rest else splits)


def _chosen(
    labelled: Members, chosen: Sequence[str], run: Path, cfg: DictConfig
) -> dict[str, list[Item]]:
    """The splits that are measured.

    Raises:
        ConfigError: one of those that were asked for is not there.
    """
    available = {**labelled, WHOLE: [item for items in labelled.values() for item in items]}
    if not available[WHOLE]:
        raise DataError(f"data={cfg.data.name} has no labelled images to measure {run} on.")
    usual = [name for name in EVALUATED if name in labelled] or list(labelled)
    for name in chosen:
        if name not in available:
            there = ", ".join(f"{split} ({len(items):,})" for split, items in available.items())
            raise ConfigError(
                f"split={name} is none of the splits of data={cfg.data.name}; there are, with "
                f"their images: {there}."
            )
    return {name: available[name] for name in dict.fromkeys(chosen or usual)}


def changes(index: Index, run: Path) -> Iterator[str]:
    """What joined and what went since the run, which its record shows."""
    if index.new:
        yield (
            f"{_images(len(index.new))} joined since {run} and {_are(index.new)} left out "
            f"{_first(index.new)}."
        )
    if index.gone:
        yield f"{_images(len(index.gone))} of {run} {_are(index.gone)} gone {_first(index.gone)}."


def _other_splits(labelled: Members, measured: Members, cfg: DictConfig) -> Iterator[str]:
    left = {name: items for name, items in labelled.items() if name not in measured}
    if left:
        names = " and ".join(f"{name} ({len(items):,} images)" for name, items in left.items())
        every = ",".join(labelled)
        yield f"data={cfg.data.name} has {names} too; split={every} measures these as well."


def _missing_classes(splits: Members, class_names: Sequence[str]) -> Iterator[str]:
    for split, items in splits.items():
        present = {item.label for item in items}
        absent = [name for label, name in enumerate(class_names) if label not in present]
        if absent:
            yield (
                f"{split} has images of {len(present)} of the network's {len(class_names)} "
                f"classes, none of {', '.join(absent)}: the macro-F1 is the mean over the classes "
                "that are there, and what is taken for another class counts as wrong."
            )


def _new_split(found: Index, trained: TrainedOn, cfg: DictConfig) -> Iterator[str]:
    """Says where the run's own data is split otherwise than it was for the run."""
    if asked := trained.other_split(cfg):
        yield f"{', '.join(asked)} makes another split than that of {trained.run}."
    elif not trained.is_known and ("unsplit" in found.splits or cfg.data.num_folds is not None):
        yield trained.unknown


def _seen(splits: Members, trained: TrainedOn, *, own: bool) -> Iterator[str]:
    """Says how many of the images were trained on, which flatters the metrics."""
    for split, items in splits.items():
        seen = trained.trained(items, own=own)
        if seen and split != TRAIN:
            yield (
                f"{len(seen):,} of the {len(items):,} images of {split} were trained on by "
                f"{trained.run} {_first([item.group for item in seen])}, which flatters its "
                "metrics."
            )


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _are(images: Sequence[str]) -> str:
    return "is" if len(images) == 1 else "are"


def _first(names: Sequence[str], count: int = 3) -> str:
    return f"(first: {', '.join(names[:count])})"
