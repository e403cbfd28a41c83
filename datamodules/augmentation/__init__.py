"""Augmentation: recipes of random operations, made by albumentations or by torchvision."""

import os

import cv2

# albumentations looks for a newer version when it is imported, which a recipe's own `_target_` may
# do before any module of this package does.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

# OpenCV's threads would only take cores from the training threads, at sizes this small.
cv2.setNumThreads(0)
