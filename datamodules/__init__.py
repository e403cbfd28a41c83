"""The data side: where images come from, how they are split, cached, augmented and audited.

The rooms are imported when a name of them is first used: a look at a source needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
