"""Where images come from: folders, COCO files, tables, CIFAR, Fashion-MNIST, a drawn data set.

Imports `workers` and the ground floor (errors, files, schema); neither torch nor OpenCV before a
source is prepared.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
