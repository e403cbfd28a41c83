"""`FeaturePairs`: the modules of student and teachers that are compared, and how."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Size, Tensor, nn

from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.errors import USER_ERRORS, ConfigError
from lightning_modules.networks import feature_shapes


class Pair(NamedTuple):
    """One comparison.

    Attributes:
        term: name of the distillation term.
        teacher: number of the teacher.
        student_path: of the student's module.
        teacher_path: of the teacher's.
        weight: of the teacher among all that this term compares with.
    """

    term: str
    teacher: int
    student_path: str
    teacher_path: str
    weight: float


class FeaturePairs(nn.Module):
    """All comparisons of a fit; their projections train with the student and end with the fit.

    Args:
        distillation: has the terms.
        teachers: have the pairs, in `features`.
        network: the student; is not run.
        image_size: (H, W) in pixels of the batches to come.
        seed: of the projections' first weights, any numbers.

    Raises:
        ConfigError: a module does not exist, or two shapes cannot be compared.
    """

    def __init__(
        self,
        distillation: Distillation,
        teachers: Sequence[Teacher],
        network: nn.Module,
        *,
        image_size: tuple[int, int],
        seed: Sequence[int],
    ) -> None:
        super().__init__()
        self.pairs: list[Pair] = []
        self.comparisons = nn.ModuleList()
        if not distillation.feature_terms:
            return
        shapes = [_shapes(teacher, network, image_size) for teacher in teachers]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
            for name in distillation.feature_terms:
                self._compare(name, distillation, teachers, shapes)
        if not self.pairs and not distillation.logit_terms:
            names = ", ".join(teacher.name for teacher in teachers)
            raise ConfigError(
                f"distillation={name} compares modules, but of those who teach here ({names}) none "
                "pairs any; give teacher.NAME.features, or add soft_targets to distillation=[...]."
            )

    def _compare(
        self,
        name: str,
        distillation: Distillation,
        teachers: Sequence[Teacher],
        shapes: Sequence[dict[str, tuple[Size, Size]]],
    ) -> None:
        term = distillation.feature_terms[name]
        compared = [[path for path in t.features if term.looks_at(path)] for t in teachers]
        numbers = [number for number, paths in enumerate(compared) if paths]
        weights = distillation.weights([teachers[number] for number in numbers])
        for number, weight in zip(numbers, weights, strict=True):
            teacher = teachers[number]
            for path in compared[number]:
                try:
                    comparison = term.comparison(*shapes[number][path])
                except ConfigError as error:
                    pair = f"{path}: {teacher.features[path]}"
                    raise ConfigError(
                        f"distillation={name} cannot compare teacher.{teacher.name}.features "
                        f"{{{pair}}}: {error}"
                    ) from None
                self.comparisons.append(comparison)
                self.pairs.append(Pair(name, number, path, teacher.features[path], weight))

    @property
    def student_paths(self) -> list[str]:
        """The student's modules whose outputs `forward` needs."""
        return list(dict.fromkeys(pair.student_path for pair in self.pairs))

    def teacher_paths(self, number: int) -> list[str]:
        """Those of one teacher."""
        pairs = [pair for pair in self.pairs if pair.teacher == number]
        return list(dict.fromkeys(pair.teacher_path for pair in pairs))

    def forward(
        self, student: Mapping[str, Tensor], teachers: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Each feature term's scalar loss, without the term's weight.

        Args:
            student: outputs of its modules, by path.
            teachers: those of each teacher.
        """
        losses: dict[str, Tensor] = {}
        for pair, comparison in zip(self.pairs, self.comparisons, strict=True):
            theirs = teachers[pair.teacher][pair.teacher_path].float()
            loss = pair.weight * comparison(student[pair.student_path].float(), theirs)
            losses[pair.term] = losses[pair.term] + loss if pair.term in losses else loss
        return losses


def _shapes(
    teacher: Teacher, network: nn.Module, image_size: tuple[int, int]
) -> dict[str, tuple[Size, Size]]:
    """By the student's path, the shapes of both outputs of one image."""
    sides = {"student": (network, list(teacher.features))}
    sides["teacher"] = (teacher.network, list(teacher.features.values()))
    found = {}
    for side, (module, paths) in sides.items():
        try:
            found[side] = feature_shapes(module, paths, image_size)
        except USER_ERRORS as error:
            raise ConfigError(f"teacher.{teacher.name}.features, {side}: {error}") from None
    return {
        path: (found["student"][path], found["teacher"][own])
        for path, own in teacher.features.items()
    }
