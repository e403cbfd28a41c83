"""Pruning and factorisation under one budget: each layer gets the treatment that suits it.

It may import `pruning`, `factorization`, `allocation` and all that is below them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
