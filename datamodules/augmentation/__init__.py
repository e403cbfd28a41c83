"""Augmentation: recipes of random operations, made by albumentations or by torchvision.

Imports `decoding` (resizing, and what a crop shows beyond the image) and the ground floor; a
backend's library is loaded when a recipe first uses it.
"""

import os

import lazy_loader

# albumentations looks for a newer version when it is imported, which a recipe's own `_target_` may
# do before any module of this package does.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
