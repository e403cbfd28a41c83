"""What leaves a run: exported files, what runs them, predictions, benchmarks, and the page `app`.

It may import `config`, `runs`, `networks`, `evaluation` and the ground floor; no room below it
imports it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
