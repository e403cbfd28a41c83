"""Weights from files as they come: reading them safely, matching names, loading what fits.

It may import `network` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
