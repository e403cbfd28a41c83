"""The story of a run: its stages, their fits, what it writes, and what a multirun does around it.

It may import all other rooms; only `run.py` and the scripts import it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
