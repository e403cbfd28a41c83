"""How long networks and single layers take, and how a step meets a latency target.

It may import `target`, `step`, `context`, `cost`, `onnx` and the ground floor.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
