"""Counting what is left out, by reason."""

from datamodules.sources.source import LeftOut


class Omissions:
    """What a source leaves out, as it goes along: reason -> how many, and the first by name."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """Count `count` files (nothing, where there are none) for a reason, with one's name."""
        if count > 0:
            known, first = self._found.get(reason, (0, name))
            self._found[reason] = known + count, min(first, name)

    def left_out(self) -> tuple[LeftOut, ...]:
        """All of it, the most numerous first."""
        found = [LeftOut(reason, count, first) for reason, (count, first) in self._found.items()]
        return tuple(sorted(found, key=lambda one: (-one.count, one.reason)))
