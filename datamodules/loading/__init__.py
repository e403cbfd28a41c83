"""Batches for training and evaluation: Lightning's data module, its samplers and class weights.

Imports all other rooms but `downloads`; the class weights load no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
