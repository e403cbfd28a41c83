"""Fetching data sets (TACO, TrashNet, Fashion-MNIST), and only what is missing of them.

Imports `sources`, `workers` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
