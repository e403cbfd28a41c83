from .loading import head_keys as head_keys
from .loading import load_state as load_state
from .loading import load_weights as load_weights
from .loading import with_metadata as with_metadata
from .reading import SUFFIXES as SUFFIXES
from .reading import read_state as read_state
