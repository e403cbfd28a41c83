"""Losses (logits N x classes, targets) -> scalar, with class weights and soft targets.

They import only each other, `networks` and the ground floor; what their numbers may be, `schema`
says without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
