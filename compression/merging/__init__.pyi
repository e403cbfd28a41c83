from .merge import Merge as Merge
