"""Which images are trained, validated and tested on, remembered in a file that people can edit.

Imports `sources` (what an item is) and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
