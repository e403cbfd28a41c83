"""What waste of each class looks like.

The classes share shapes, colours and surfaces in part, and some objects borrow a trait from another
class, so that no network is right about all of them.
"""

from dataclasses import dataclass

import numpy as np

from datamodules.sources.drawing import shapes, textures

Color = tuple[int, int, int]  # RGB

WHITE, SILVER, DARK = (225, 222, 215), (165, 168, 172), (65, 65, 70)
RED, GREEN, BLUE = (175, 60, 55), (70, 135, 80), (60, 95, 165)
YELLOW, BROWN = (195, 170, 70), (165, 130, 95)


@dataclass(frozen=True)
class Look:
    """What objects of a class may look like; a trait listed more often is more likely."""

    outlines: tuple[shapes.Outline, ...]
    surfaces: tuple[textures.Texture, ...]
    colors: tuple[Color, ...]
    opacity: tuple[float, float]  # smallest and largest


LOOKS = {
    "Metal": Look(
        (shapes.can, shapes.can, shapes.can, shapes.crumpled),
        (textures.shiny, textures.shiny, textures.shiny, textures.glossy),
        (SILVER, SILVER, SILVER, RED, BLUE),
        (1.0, 1.0),
    ),
    "Paper": Look(
        (shapes.sheet, shapes.sheet, shapes.crumpled, shapes.carton),
        (textures.printed, textures.printed, textures.printed, textures.plain),
        (BROWN, BROWN, BROWN, WHITE),
        (1.0, 1.0),
    ),
    "Paperpack": Look(
        (shapes.carton, shapes.carton, shapes.carton, shapes.cup),
        (textures.panels, textures.panels, textures.panels, textures.printed),
        (YELLOW, YELLOW, GREEN, GREEN, WHITE),
        (1.0, 1.0),
    ),
    "Plastic": Look(
        (shapes.bottle, shapes.bottle, shapes.bottle, shapes.cup),
        (textures.glossy, textures.glossy, textures.glossy, textures.plain),
        (BLUE, BLUE, BLUE, RED, GREEN),
        (0.7, 1.0),
    ),
    "Plasticbag": Look(
        (shapes.bag, shapes.bag, shapes.bag, shapes.crumpled),
        (textures.creased, textures.creased, textures.creased, textures.glossy),
        (DARK, DARK, DARK, SILVER, WHITE),
        (0.6, 0.9),
    ),
    "Styrofoam": Look(
        (shapes.tray, shapes.tray, shapes.tray, shapes.sheet),
        (textures.beaded, textures.beaded, textures.beaded, textures.plain),
        (WHITE, WHITE, WHITE, WHITE, SILVER),
        (1.0, 1.0),
    ),
}
CLASS_NAMES = tuple(LOOKS)


def choose_look(rng: np.random.Generator, label: int, ambiguity: float) -> Look:
    """The look of a class, with each trait another class's at probability `ambiguity`."""
    looks = list(LOOKS.values())
    own, other = looks[label], looks[rng.integers(len(looks))]
    outlines, surfaces, colors = (other if rng.random() < ambiguity else own for _ in range(3))
    return Look(outlines.outlines, surfaces.surfaces, colors.colors, own.opacity)
