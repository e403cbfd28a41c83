"""Parallel branches and their BatchNorm folded into single convolutions: the step `merge`.

It may import `cost` and what is below it, no other kind of step.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
