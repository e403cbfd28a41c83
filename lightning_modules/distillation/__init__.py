"""Learning from teachers: Distiller, the losses that it adds up, teachers and their stored logits.

It may import `training` and what that may; the terms are open to a user's own `_target_`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
