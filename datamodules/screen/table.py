"""Tables for a terminal of any width, in which no number is ever cut.

A table that does not fit stands upright, a column for each of its rows; where that does not fit
either, a row is a list of lines.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

NUMBER = re.compile(r"[-+~±]?\(?[-+]?\d[\d.,:eE%+\-)]*|\[[-+\d.,eE]+\]|nan|-?inf")
BETWEEN = ("->", "x", "/", "of")  # stand between numbers that belong together
WORD = 12  # characters that a column of words has at least, where its words are longer
UPRIGHT = 12  # rows at most that stand upright as columns
EDGE, GAP = 1, 3  # characters of a table: its left edge, and what a column needs beside its cells


@dataclass(frozen=True)
class _Column:
    heading: str
    is_number: bool


@dataclass
class ScreenTable:
    """A table that rich prints: cells are shown as they are, without markup.

    Attributes:
        title: stands above it; none by default.
    """

    title: str = ""
    _columns: list[_Column] = field(default_factory=list)
    _rows: list[list[str]] = field(default_factory=list)
    _sections: set[int] = field(default_factory=set)  # rows below which a line is drawn

    def add_column(self, heading: str, *, number: bool = False) -> None:
        """Adds a column of words, on the left, or of numbers, on the right."""
        self._columns.append(_Column(heading, number))

    def add_row(self, *cells: str) -> None:
        """Adds a row: a cell for each column."""
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self._columns)} columns.")
        self._rows.append(list(cells))

    def add_section(self) -> None:
        """Draws a line below the rows so far."""
        self._sections.add(len(self._rows) - 1)

    def print(self, console: Console) -> None:
        """Prints it; also what is wider than the terminal is whole."""
        console.print(self, soft_wrap=True)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The first of the forms that fits."""
        cells = [column.heading for column in self._columns]
        numbers = [column.is_number for column in self._columns]
        plain = _Grid(cells, self._rows, numbers, numbers)
        for grid in (plain, plain.folded()):
            if grid.fits(options.max_width):
                yield from self._table(grid, options, self._sections)
                return
        upright = plain.upright()
        if 0 < len(self._rows) <= UPRIGHT and upright.fits(options.max_width):
            yield from self._table(upright, options, set())
            return
        if self.title:
            yield _whole(self.title)
        for row in self._rows:
            yield from map(_whole, ("", *_lines(cells, row, options.max_width)))

    def _table(
        self, grid: "_Grid", options: ConsoleOptions, sections: set[int]
    ) -> Iterator[RenderableType]:
        widths = grid.widths(options.max_width)
        if self.title and cell_len(self.title) > EDGE + sum(width + GAP for width in widths):
            yield _whole(self.title)
            title = None
        else:
            title = Text(self.title) if self.title else None
        table = Table(title=title, box=box.HEAVY_HEAD)
        for heading, width, right in zip(grid.headings, widths, grid.right, strict=True):
            text = Text(heading, no_wrap=False, overflow="fold")
            table.add_column(text, justify="right" if right else "left", width=width)
        for place, row in enumerate(grid.rows):
            cells = (Text(cell, no_wrap=False, overflow="fold") for cell in row)
            table.add_row(*cells, end_section=place in sections)
        yield table


@dataclass(frozen=True)
class _Grid:
    """Headings and cells, which columns hold numbers only, and which stand on the right."""

    headings: list[str]
    rows: list[list[str]]
    numbers: list[bool]
    right: list[bool]

    def fits(self, width: int) -> bool:
        """Whether all columns have the characters that they need at least."""
        return EDGE + sum(least + GAP for least, _ in self._needs()) <= width

    def widths(self, width: int) -> list[int]:
        """The columns' characters: what is left beyond the least goes where cells are longer."""
        needs = self._needs()
        widths = [least for least, _ in needs]
        spare = width - EDGE - sum(least + GAP for least in widths)
        order = sorted(range(len(needs)), key=lambda i: needs[i][1] - needs[i][0])
        for place, i in enumerate(order):
            more = min(needs[i][1] - needs[i][0], spare // (len(order) - place))
            widths[i] += more
            spare -= more
        return widths

    def folded(self) -> "_Grid":
        """The same with headings in several lines, as wide as the cells below them."""
        headings = []
        for i, heading in enumerate(self.headings):
            room = max(8, *(cell_len(row[i]) for row in self.rows)) if self.rows else 8
            headings.append("\n".join(_pieces(heading, room)))
        return _Grid(headings, self.rows, self.numbers, self.right)

    def upright(self) -> "_Grid":
        """A row for each column but the first, whose cells become the headings."""
        titles = ["\n".join(_pieces(row[0], 10)) for row in self.rows]
        cells = [list(column) for column in zip(*self.rows, strict=True)][1:]
        rows = [[name, *own] for name, own in zip(self.headings[1:], cells, strict=True)]
        count = len(titles)
        numbers, right = [False] * (1 + count), [False, *[True] * count]
        return _Grid([self.headings[0], *titles], rows, numbers, right)

    def _needs(self) -> list[tuple[int, int]]:
        """Of each column the least characters, and those with which nothing wraps."""
        found = []
        for i, (heading, number) in enumerate(zip(self.headings, self.numbers, strict=True)):
            cells = [row[i] for row in self.rows]
            head = max(map(cell_len, heading.split("\n")))
            most = max([head, *map(cell_len, cells)])
            least = max([head, *(_least(cell, number=number) for cell in cells)])
            found.append((max(1, least), max(1, most)))
        return found


def _least(cell: str, *, number: bool) -> int:
    """The characters of a cell that stay in one line: all of a number, in words the longest."""
    words = cell.split()
    if number or all(word in BETWEEN or NUMBER.fullmatch(word) for word in words):
        return cell_len(cell)
    kept = [cell_len(w) for w in words if NUMBER.fullmatch(w.strip(",;.:"))]
    return max([*kept, min(WORD, max(map(cell_len, words)))])


def _pieces(heading: str, room: int) -> list[str]:
    """A heading in lines of at most so many characters, broken after a blank or a sign."""
    lines = [""]
    for part in re.findall(r"[^ ._/]*[ ._/]?", heading):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _lines(headings: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """`heading  cell` for each cell, beside or below its heading; none for an empty cell."""
    column = max(map(cell_len, headings))
    for heading, cell in zip(headings, row, strict=True):
        if cell and column + 2 + cell_len(cell) <= width:
            yield f"{heading:<{column}}  {cell}"
        elif cell:
            yield from (heading, f"  {cell}")


def _whole(line: str) -> Text:
    return Text(line, no_wrap=True, overflow="ignore")
