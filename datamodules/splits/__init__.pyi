from .split_file import read_split_file as read_split_file
from .split_file import write_split_file as write_split_file
from .splits import Splits as Splits
from .splits import pool as pool
from .stratification import groups_per_label as groups_per_label
from .stratification import stratified_split as stratified_split
