"""From a file to uint8 pixels: RGB, upright, cut to a box, resized.

Imports `sources` (what a box is) and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
