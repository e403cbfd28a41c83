from .hybrid import Hybrid as Hybrid
