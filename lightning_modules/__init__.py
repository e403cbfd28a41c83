"""What learns: configuration, runs, networks, training, search, deployment and reports.

Nothing heavy is imported until a name is asked for: whoever builds, loads and compresses networks
in plain PyTorch loads neither Lightning nor Hydra.
"""

import lazy_loader

from lightning_modules.registry import install_aliases

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

install_aliases()
