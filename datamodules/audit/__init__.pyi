from .audit import Audit as Audit
from .leakage import Leak as Leak
from .leakage import find_leaks as find_leaks
from .leakage import warn_of_leakage as warn_of_leakage
from .sheets import write_sheets as write_sheets
from .similarity import DISTANCE as DISTANCE
from .tables import write_tables as write_tables
