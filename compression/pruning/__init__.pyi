from .importance import Importance as Importance
from .prune import Prune as Prune
from .prune_layers import PruneLayers as PruneLayers
from .prune_weights import PruneWeights as PruneWeights
from .units import UnitStage as UnitStage
from .units import unit_stages as unit_stages
