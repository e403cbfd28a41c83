"""`card.md`: what a stranger must know of a shipped network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_modules import saved_run
from lightning_modules.atomic_files import write_text
from lightning_modules.class_report import HEADINGS, class_rows, is_of_class, table_cells

TEMPLATE = """\
# {name}

An image classifier made by Model Diet.

| | |
|---|---|
| model | {model} |
| data | {data} |
| classes | {classes} |
| input | uint8 RGB pixels 0..255, N x 3 x {height} x {width}; normalisation is inside |
| output | logits, N x {count}, in the order of the classes above |
| weights | of epoch {epoch} (`trainer.keep={kept}`), seed {seed} |

## Figures

| figure | value |
|---|---|
{figures}

All figures are of one seed: differences of a few points may be chance.
The calibration error is the mean distance of confidence and accuracy, 0 at best.

{classes_tables}{pictures}
## What was done to the network

{recipe}

## How to load

```python
from lightning_modules.networks import load_network

network = load_network("{folder}")  # checks hashes and a stored input; unpickles nothing
logits = network(images)  # uint8 N x 3 x {height} x {width}
```
"""


def write_card(
    folder: Path, metrics: dict[str, Any], cfg: DictConfig, pictures: Sequence[Path] = ()
) -> None:
    """Writes `card.md` from the saved network's description and the final figures.

    Args:
        folder: the run directory.
        metrics: of `metrics.json`.
        cfg: the run's configuration.
        pictures: files below the folder to link to.
    """
    saved = saved_run.description(folder)
    height, width = saved["image_size"]
    figures = [(k, v) for k, v in metrics.items() if "/" in k and not is_of_class(k)]
    text = TEMPLATE.format(
        name=folder.name,
        model=saved["model"].get("variant") or saved["model"]["name"],
        data=cfg.data.name,
        classes=", ".join(saved["class_names"]),
        height=height,
        width=width,
        count=len(saved["class_names"]),
        epoch=metrics["epoch"] + 1,
        kept=metrics["kept"],
        seed=metrics["seed"],
        figures="\n".join(f"| {key} | {_number(value)} |" for key, value in figures),
        classes_tables=_class_tables(metrics["confusion"]),
        pictures=_links(folder, pictures),
        recipe="\n".join(f"- {line}" for line in saved["recipe"]) or "Nothing: it was trained.",
        folder=folder,
    )
    write_text(folder / "card.md", text)


def _class_tables(confusion: dict[str, Any]) -> str:
    """One Markdown table a split."""
    tables = []
    for split in [split for split in confusion if split != "classes"]:
        rows = table_cells(class_rows(confusion["classes"], confusion[split]))
        marks = ["---", *["---:"] * (len(HEADINGS) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (HEADINGS, marks, *map(_escaped, rows))]
        tables.append("\n".join([f"### Classes, {split}", "", *lines, ""]))
    return "\n".join(tables)


def _escaped(cells: list[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]


def _links(folder: Path, pictures: Sequence[Path]) -> str:
    if not pictures:
        return ""
    names = [path.relative_to(folder).as_posix() for path in pictures]
    links = ", ".join(f"[{Path(name).stem.replace('_', ' ')}]({name})" for name in names)
    return f"\nPictures: {links}.\n"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
