"""`card.md`: what a stranger must know of a shipped network."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from datamodules.contact_sheets import numbered
from lightning_modules.evaluation import (
    CLASS_COLUMNS,
    class_rows,
    is_class_metric,
    table_cells,
)
from lightning_modules.files import write_text
from lightning_modules.reporting.closing_screen import weights_of
from lightning_modules.runs import METRICS, Row, saved_run

CARD = "card.md"
TEMPLATE = """\
# {name}

An image classifier made by Model Diet.

| | |
|---|---|
| model | {model} |
| licence | {license} |
| classes | {classes} |
| input | uint8 RGB pixels 0..255, N x 3 x {height} x {width}; normalisation is inside |
| output | logits, N x {count}, in the order of the classes above |
| weights | {weights}, seed {seed} |

## Intended use

{use}

## Data

| | |
|---|---|
| name | {data} |
| licence | {data_license} |
{images}

## Metrics

| metric | value |
|---|---|
{numbers}

{alone}
The calibration error is the mean distance of confidence and accuracy, 0 at best.

{classes_tables}{pictures}
## What was done to the network

{recipe}

## Limits

{limits}

## How to load

```python
from lightning_modules.networks import load_network

network = load_network({folder})  # checks hashes and a stored input; unpickles nothing
logits = network(images)  # uint8 N x 3 x {height} x {width}
```
"""
ALONE = "All metrics are of one seed: differences of a few points may be chance."
SPREAD = "Over {n} runs that differ in nothing but {places}, mean (standard deviation): {numbers}."
UNKNOWN = "nobody stated it; ask before you pass {what} on"
# What Markdown would take for markup; an underscore within a word is none (CommonMark 0.31, 6.2).
MARKUP = re.compile(r"[\\`*\[\]<>|~$&#]|(?<![^\W_])_|_(?![^\W_])")
FEW = 30  # images of a class, below which its metrics are said to be uncertain


def write_card(
    folder: Path,
    metrics: dict[str, Any],
    cfg: DictConfig,
    counts: dict[str, list[int]],
    pictures: Sequence[Path] = (),
) -> None:
    """Writes `card.md` from the saved network's description and the final metrics.

    Args:
        folder: the run directory.
        metrics: of `metrics.json`.
        cfg: the run's configuration; the key `card` says what cannot be measured.
        counts: split -> images of each class.
        pictures: files below the folder to link to.
    """
    saved = saved_run.description(folder)
    height, width = saved["image_size"]
    names = [plain_text(name) for name in saved["class_names"]]
    numbers = [(k, v) for k, v in metrics.items() if "/" in k and not is_class_metric(k)]
    data = plain_text(cfg.data.name)
    use = f"To tell these classes apart in images like those of {data}, one object each."
    text = TEMPLATE.format(
        name=plain_text(folder.name),
        model=saved["model"].get("variant") or saved["model"]["name"],
        license=_cell(cfg.card.license) or UNKNOWN.format(what="the network"),
        use=cfg.card.intended_use or use,
        data=data,
        data_license=_cell(cfg.data.license) or UNKNOWN.format(what="the images"),
        images="\n".join(f"| {split} | {_counted(names, n)} |" for split, n in counts.items()),
        classes=", ".join(names),
        height=height,
        width=width,
        count=len(names),
        weights=weights_of(metrics),
        seed=metrics["seed"],
        numbers="\n".join(f"| {key} | {_number(value)} |" for key, value in numbers),
        alone=ALONE,
        classes_tables=_class_tables(metrics["confusion"]),
        pictures=_links(folder, pictures, numbered(saved["class_names"]).legend),
        recipe="\n".join(f"- {line}" for line in saved["recipe"]) or "Nothing: it was trained.",
        limits="\n".join(f"- {line}" for line in _limits(metrics, cfg, saved["image_size"])),
        folder=json.dumps(str(folder), ensure_ascii=False),
    )
    write_text(folder / CARD, text)


def tell_spread(row: Row) -> None:
    """Puts mean and spread over repeated runs into the card of each of them.

    Args:
        row: runs that differ in their seeds or folds.
    """
    found = {key: row.spread(key) for key in METRICS}
    numbers = ", ".join(
        f"{key} {_number(one.mean)} ({one.sd:.4f})" for key, one in found.items() if one and one.sd
    )
    repeated = {"seed": row.seeds, "fold": row.folds}
    places = " and ".join(name for name, count in repeated.items() if count > 1)
    text = SPREAD.format(n=len(row.records), places=places, numbers=numbers)
    for record in row.records:
        card = record.folder / CARD
        if numbers and card.is_file():
            write_text(card, card.read_text(encoding="utf-8").replace(ALONE, text))


def _counted(names: Sequence[str], counts: Sequence[int]) -> str:
    each = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    return f"{sum(counts):,} images: {each}"


def _limits(metrics: dict[str, Any], cfg: DictConfig, size: Sequence[int]) -> Iterator[str]:
    """What a user must not expect of the network, a line each."""
    yield (
        "It knows these classes only: an image of anything else gets one of them too, and may get "
        "it with a high probability. It does not find where in an image an object is."
    )
    yield (
        f"It was trained and judged on images made {size[0]} x {size[1]} pixels by "
        f"`data.resize_mode={cfg.data.resize_mode}`; what cannot be told at that size, it cannot "
        "tell."
    )
    confusion = metrics["confusion"]
    split = "test" if "test" in confusion else "val"
    rows = class_rows(confusion["classes"], confusion[split])
    f1, weakest = min((row.f1, row.name) for row in rows if row.f1 is not None)
    yield f"Its weakest class on {split} is {plain_text(weakest)}, with an F1 of {f1:.3f}."
    few = [f"{plain_text(row.name)} ({row.support})" for row in rows if row.support < FEW]
    if few:
        yield f"Few {split} images make the metrics of these classes uncertain: {', '.join(few)}."
    if metrics["kept"] == "best":
        yield "The epoch was chosen on the validation images, which flatters the metrics of val."
    if how := metrics.get("latency"):
        yield f"The latency is that of {how['backend']} on {how['device']}; others differ."


def _class_tables(confusion: dict[str, Any]) -> str:
    """One Markdown table a split."""
    tables = []
    for split in [split for split in confusion if split != "classes"]:
        rows = table_cells(class_rows(confusion["classes"], confusion[split]))
        marks = ["---", *["---:"] * (len(CLASS_COLUMNS) - 1)]
        lines = [
            f"| {' | '.join(cells)} |" for cells in (CLASS_COLUMNS, marks, *map(_escaped, rows))
        ]
        tables.append("\n".join([f"### Classes, {split}", "", *lines, ""]))
    return "\n".join(tables)


def _escaped(cells: list[str]) -> list[str]:
    return [plain_text(cell) for cell in cells]


def plain_text(text: str) -> str:
    """Markdown that shows a name as it is, in one line: no markup, no HTML, no cells of a table."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return MARKUP.sub(r"\\\g<0>", line)


def _cell(markdown: str | None) -> str:
    """A person's own Markdown, which must not end the cell of a table."""
    return " ".join((markdown or "").split()).replace("|", "\\|")


def _links(folder: Path, pictures: Sequence[Path], legend: str) -> str:
    """Links to the pictures, and what the numbers in them stand for, if there are any."""
    if not pictures:
        return ""
    names = [path.relative_to(folder).as_posix() for path in pictures]
    links = ", ".join(f"[{Path(name).stem.replace('_', ' ')}]({name})" for name in names)
    return f"\nPictures: {links}.\n" + (f"\n{plain_text(legend)}\n" if legend else "")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
