"""What runs leave behind and are found by: directory, records, summaries, configuration, data.

It may import the ground floor and `datamodules`; only `data` loads torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
