"""What makes a network smaller, for any plain PyTorch network, and what a network costs.

It imports nothing of the other packages; what is named here is imported only once it is asked for,
so that a user of one step waits for no other.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
