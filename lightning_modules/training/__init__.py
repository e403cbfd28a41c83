"""What fits a network: Classifier, losses, auxiliary heads, optimizers, schedules, devices.

It may import `config`, `runs` and `networks`, and the ground floor; `losses`, `auxiliary` and
`callbacks` are rooms of their own within.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
