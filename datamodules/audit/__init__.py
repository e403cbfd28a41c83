"""What is in a data set and what is wrong with it: duplicates, leakage, corrupt and odd files.

Imports `cache`, `contact_sheets`, `decoding`, `sources`, `splits`, `workers` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
