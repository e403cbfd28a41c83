from .table import ScreenTable as ScreenTable
