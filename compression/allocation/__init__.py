"""How a budget is shared out among layers: each gets the treatment that costs the whole least loss.

It may import `sensitivity`, `latency` and all that is below them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
