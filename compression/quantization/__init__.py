"""A network's weights and activations in eight bits, after training or trained so.

It may import `sensitivity`, `onnx`, `cost` and what is below them, no other kind of step.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
