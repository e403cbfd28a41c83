"""The operations, one concept a file, each made by albumentations and torchvision or one of them.

They import `augmentation.operation`, `decoding` and the ground floor.
"""
