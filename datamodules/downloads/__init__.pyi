from .fashion_mnist import download_fashion_mnist as download_fashion_mnist
from .fetching import Target as Target
from .limits import Limits as Limits
from .root_folder import MISSING_LIST as MISSING_LIST
from .root_folder import Report as Report
from .root_folder import default_root as default_root
from .taco import download_taco as download_taco
from .trashnet import download_trashnet as download_trashnet
