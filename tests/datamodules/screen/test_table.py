"""No number is cut at any width: tables that do not fit stand upright, or become lists."""

import re

import pytest
from rich.console import Console

from datamodules.screen import ScreenTable
from tests.conftest import ROOT

PLACES = ("compression", "datamodules", "lightning_modules", "scripts")
NUMBERS = ["37,014,528", "0.8123", "12.3456", "1e-05", "-0.0012", "0.5000 (0.1414)", "99.9%"]


def made(rows=3, columns=7):
    table = ScreenTable(title="before and after")
    table.add_column("step")
    for place in range(columns):
        table.add_column(f"metric.number_{place}", number=True)
    table.add_column("a reason")
    for row in range(rows):
        cells = [NUMBERS[(row + place) % len(NUMBERS)] for place in range(columns)]
        table.add_row(f"0{row}_train", *cells, f"it lost 12,345 of 67,890,123 images {row}")
    return table


def printed(table, width):
    console = Console(width=width, record=True, file=None)
    with console.capture() as shown:
        table.print(console)
    return shown.get()


@pytest.mark.parametrize("columns", [1, 4, 7, 12])
@pytest.mark.parametrize("rows", [1, 3, 30])
def test_each_number_is_whole_at_any_width(rows, columns):
    table = made(rows, columns)
    whole = printed(table, 10_000)
    for width in [1, 5, 11, 20, 30, 40, 50, 60, 72, 80, 100, 120, 160, 200, 300]:
        shown = printed(table, width)
        assert "…" not in shown
        for number in (*NUMBERS, "12,345", "67,890,123"):
            # as a word of its own: nothing of a number stands elsewhere
            word = rf"(?<![\w.,-]){re.escape(number)}(?![\w.,])"
            expected, found = (len(re.findall(word, text)) for text in (whole, shown))
            assert found == expected, (width, number)


def test_lines_are_no_wider_than_the_terminal_where_numbers_let_them():
    for width in (30, 40, 60, 80, 120, 200):
        assert max(map(len, printed(made(), width).splitlines())) <= max(width, 42)


def test_the_forms_by_width():
    table = made(rows=2, columns=4)
    wide, upright, listed = (printed(table, width) for width in (160, 60, 24))
    assert wide.splitlines()[0].strip() == "before and after"
    assert len([line for line in wide.splitlines() if line.startswith("│")]) == 2
    first = next(line for line in upright.splitlines() if line.startswith("│"))
    assert first.split() == ["│", "metric.number_0", "│", "37,014,528", "│", "0.8123", "│"]
    lines = listed.splitlines()
    assert lines[:6] == [
        "before and after", "", "step", "  00_train", "metric.number_0", "  37,014,528"
    ]  # fmt: skip


def test_words_wrap_and_are_kept():
    table = ScreenTable()
    table.add_column("file")
    table.add_column("MB", number=True)
    path = "/a/very/long/path/" + "x" * 60
    table.add_row(path, "1,234.5")
    for width in (30, 40, 60):
        shown = printed(table, width)
        cells = [line.split("│")[1].strip() for line in shown.splitlines() if "│" in line]
        assert "".join(cells) == path
        assert "1,234.5" in shown


def test_sections_signs_and_empty_tables():
    table = ScreenTable(title="[red]")
    table.add_column("[bold]a")
    table.add_column("b", number=True)
    assert "[bold]a" in printed(table, 80)
    table.add_row("[x]", "1")
    table.add_section()
    table.add_row("all", "2")
    lines = printed(table, 80).splitlines()
    assert [line[0] for line in lines[1:]] == ["┏", "┃", "┡", "│", "├", "│", "└"]
    assert "[x]" in lines[4] and "[red]" in lines[0]
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table.add_row("only")


def test_all_tables_of_the_project_are_built_here():
    files = [p for name in PLACES for p in (ROOT / name).rglob("*.py")]
    found = {str(p.relative_to(ROOT)) for p in files if "rich.table" in p.read_text()}
    assert found == {"datamodules/screen/table.py"}
