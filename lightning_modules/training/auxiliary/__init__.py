"""Extra losses on the outputs of inner modules, for training only: heads and their weighted sum.

They may import `losses` and `networks`; what their settings may be, `schema` says without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
