"""ONNX graphs of networks: writing one, running one, and asking whether a network is one.

It may import the ground floor (`errors`, `files`, `schema`) only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
