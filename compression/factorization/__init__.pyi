from .candidate import Candidate as Candidate
from .cp import CP as CP
from .decomposition import Decomposition as Decomposition
from .factorization import Factorization as Factorization
from .rank_rule import Rule as Rule
from .spatial_svd import SpatialSVD as SpatialSVD
from .svd import SVD as SVD
from .tucker import Tucker as Tucker
