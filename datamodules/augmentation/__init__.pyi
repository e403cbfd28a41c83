from .backends import require_library as require_library
from .backends import require_support as require_support
from .operation import ArrayTransform as ArrayTransform
from .operation import Operation as Operation
from .recipe import Recipe as Recipe
from .recipe import auto_augment as auto_augment
from .recipe import rand_augment as rand_augment
