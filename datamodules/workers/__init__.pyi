from .processes import map_in_processes as map_in_processes
from .progress import DownloadProgress as DownloadProgress
from .progress import report_progress as report_progress
from .threads import cores as cores
from .threads import map_in_order as map_in_order
from .threads import prefetch as prefetch
