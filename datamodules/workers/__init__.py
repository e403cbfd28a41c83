"""Many jobs at a time, in threads and processes, and how far they are.

Imports nothing but the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
