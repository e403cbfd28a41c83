"""What a person is shown of runs and studies: report, pictures, card, closing screen, loggers.

It may import the rooms on which runs are made (`config`, `runs`, `networks`, `training`,
`distillation`, `evaluation`), and nothing of `search`, which hands it plain data.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
