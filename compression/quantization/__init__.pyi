from .calibration import calibration_images as calibration_images
from .int8_network import Int8Network as Int8Network
from .quantize import Quantize as Quantize
from .quantize_aware import QuantizeAware as QuantizeAware
