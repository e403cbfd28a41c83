"""Jobs of a SLURM cluster: what the controller says of them, and the launcher that waits for them.

Knows nothing of searches; free of torch. It may import `config` and `runs`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
