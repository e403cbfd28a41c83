"""Decoded pixels of a split, kept in one memory-mapped file that all runs share.

Imports `decoding`, `sources`, `workers` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
