from .building import build_auxiliary as build_auxiliary
from .building import check_auxiliary as check_auxiliary
from .heads import AuxiliaryClassifier as AuxiliaryClassifier
from .heads import Reconstruction as Reconstruction
from .objectives import AuxiliaryHead as AuxiliaryHead
from .objectives import AuxiliaryLosses as AuxiliaryLosses
from .outputs import AuxiliaryOutputs as AuxiliaryOutputs
