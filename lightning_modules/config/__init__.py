"""From a typed command line to a composed configuration that can work, before torch is imported.

It may import the ground floor, `runs`, `networks` and the packages below; the components' schemas
are found by their registered names (`registry.schema`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
