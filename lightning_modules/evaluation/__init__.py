"""What a network is worth: predictions, metrics, calibration, agreement with teachers, scores.

It may import `distillation` and `training` and what those may.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
