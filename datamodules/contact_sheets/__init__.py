"""Many pictures with captions on one page, drawn by matplotlib, for a person to look through.

Imports nothing but the ground floor; matplotlib is loaded when a page is drawn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
