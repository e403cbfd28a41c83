from .curves import SensitivityCurves as SensitivityCurves
from .sensitivity_scan import Point as Point
from .sensitivity_scan import Scan as Scan
from .sensitivity_scan import evaluation as evaluation
from .sensitivity_scan import macro_f1 as macro_f1
from .sensitivity_scan import scan as scan
from .sensitivity_scan import scan_key as scan_key
from .stored_metrics import digest_weights as digest_weights
