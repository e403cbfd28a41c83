"""Augmentation: recipes of random operations, made by albumentations or by torchvision."""

import os

# albumentations looks for a newer version when it is imported, which a recipe's own `_target_` may
# do before any module of this package does.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
