"""What a network costs, found without running it: MACs, parameters, activations, bytes of its file.

It may import `onnx` and the ground floor (`errors`, `files`, `registry`, `schema`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
