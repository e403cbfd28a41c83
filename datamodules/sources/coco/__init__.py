"""COCO detection sets: annotation files, images, boxes cut out as pictures, maps of their classes.

`Coco` is the source; the other modules are its parts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
