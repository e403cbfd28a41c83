"""`card.md`: what a stranger must know of a shipped network."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_modules import saved_run
from lightning_modules.atomic_files import write_text

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

## What was done to the network

{recipe}

## How to load

```python
from lightning_modules.networks import load_network

network = load_network("{folder}")  # checks hashes and a stored input; unpickles nothing
logits = network(images)  # uint8 N x 3 x {height} x {width}
```
"""


def write_card(folder: Path, metrics: dict[str, Any], cfg: DictConfig) -> None:
    """Writes `card.md` from the saved network's description and the final figures."""
    saved = saved_run.description(folder)
    height, width = saved["image_size"]
    figures = [(key, value) for key, value in metrics.items() if "/" in key]
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
        recipe="\n".join(f"- {line}" for line in saved["recipe"]) or "Nothing: it was trained.",
        folder=folder,
    )
    write_text(folder / "card.md", text)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
