"""A page on which a picture is dropped and several networks say what they see.

It may import what `deployment` may, and `deployment` itself; nothing but `scripts/app.py` imports
it, since it needs gradio.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
