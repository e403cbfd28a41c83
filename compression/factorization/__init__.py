"""Layers replaced by cheaper products of layers: tucker, cp, svd and spatial_svd.

It may import `sensitivity`, `latency`, `cost` and what is below them, no other kind of step.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
