"""What a network loses where one layer alone is treated: scans, and what steps conclude from them.

It may import `engine` and all that is below it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
