"""What finished runs say of images that they were not trained on, image by image."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from datamodules.audit import OutOfSample
from datamodules.loading import ImageData
from datamodules.sources import Item
from lightning_modules.config import NamedRun, named_run
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.predictions import predict
from lightning_modules.networks import load_network, set_image_size
from lightning_modules.runs import Record, TrainedOn, make_data, trained_on

FOLDS = "run.py -m data.fold=0,1,2,3,4 data.num_folds=5"  # after which every image has a prediction


def out_of_sample_predictions(
    records: Sequence[Record], overrides: Sequence[str] = ()
) -> OutOfSample:
    """The mean probabilities of each image over the runs that were not trained on it.

    These are a run's validation and test images; the trials of a cross-validation together have
    all images among them. Torch is needed, cleanlab is not.

    Args:
        records: finished runs on the same data.
        overrides: Hydra overrides over each run's saved configuration.

    Raises:
        ConfigError, DataError: no run can be used, or one has other classes than the first.
    """
    gathered = _Gathered()
    notes = []
    for record in records:
        run = named_run(str(record.folder), list(overrides))
        known = trained_on(run.path)
        if start := _unknown_start(known):
            notes.append(
                f"{record.name} is left out: it started from {start}, and nothing says what that "
                "was trained on."
            )
            continue
        gathered.add(run, known)
    if not gathered.items:
        raise ConfigError(
            f"None of the {len(records)} runs has images that it was not trained on; train with "
            f"{FOLDS}. {' '.join(notes)}".strip()
        )
    if missing := len(gathered.every - gathered.items.keys()):
        notes.append(
            f"{missing} of {len(gathered.every)} images were trained on by each of these runs, so "
            f"their labels are not checked; the trials of {FOLDS} together leave none."
        )
    return gathered.result(tuple(notes))


class _Gathered:
    """Sums of probabilities by image, box and label."""

    def __init__(self) -> None:
        self.classes: tuple[str, ...] = ()
        self.items: dict[tuple, Item] = {}
        self.rows: dict[tuple, list[Tensor]] = {}
        self.every: set[tuple] = set()

    def add(self, run: NamedRun, known: TrainedOn) -> None:
        """The predictions of one run for those images that it was not trained on."""
        data = make_data(run.cfg, known.splits(run.cfg))
        data.source.prepare()
        data.setup()
        self._check_classes(run, data)
        network = load_network(run.path, trust=list(run.cfg.trust))
        set_image_size(network, run.cfg.data.image_size)
        for split, loader in _measured(run, data):
            items = data.items(split)
            seen = set(known.trained(items, own=True))  # of a network that it started from, too
            if len(seen) == len(items):
                continue
            found = predict(network, loader).probabilities.double()
            for item, row in zip(items, found, strict=True):
                if item not in seen:
                    key = (item.group, item.box, item.label)
                    self.items.setdefault(key, item)
                    self.rows.setdefault(key, []).append(row)
        for split in data.class_counts:
            self.every |= {(item.group, item.box, item.label) for item in data.items(split)}

    def result(self, notes: tuple[str, ...]) -> OutOfSample:
        """The means, in the order in which images were met first."""
        means = torch.stack([torch.stack(rows).mean(0) for rows in self.rows.values()])
        return OutOfSample(list(self.items.values()), means.numpy(), notes)

    def _check_classes(self, run: NamedRun, data: ImageData) -> None:
        known = tuple(run.description["class_names"])
        self.classes = self.classes or data.class_names
        if known != data.class_names or known != self.classes:
            raise ConfigError(
                f"{run.path} knows the classes {', '.join(known)}, and not "
                f"{', '.join(self.classes if known == data.class_names else data.class_names)}: "
                "name runs and data of the same classes."
            )


def _measured(run: NamedRun, data: ImageData) -> Iterator[tuple[str, torch.utils.data.DataLoader]]:
    """The labelled splits that a run was measured on, in batches."""
    if not run.cfg.data.train_on_all:
        yield "val", data.val_dataloader()
    if data.has_test:
        yield "test", data.test_dataloader()


def _unknown_start(known: TrainedOn) -> str | None:
    """The run that a run started from, itself or by others, of which nothing is known."""
    while known.cfg.get("from_run") is not None:
        if known.before is None or not known.before.is_known:
            return str(known.cfg.from_run)
        known = known.before
    return None
