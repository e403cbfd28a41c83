"""What happens around the steps of a fit: averages, freezing, stopping, seeds, checkpoints.

They import only `networks` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
