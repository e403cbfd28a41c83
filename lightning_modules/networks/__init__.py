"""Architectures in plain PyTorch: the block language, the zoo, building, saving and loading.

It may import the ground floor, `runs` (for the names of earlier versions) and `compression`;
nothing is imported until asked for, so that names can be checked without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
