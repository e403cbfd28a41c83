"""What a person reads on a terminal: tables.

Imports nothing but the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
