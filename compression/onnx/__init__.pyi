from .export import export_onnx as export_onnx
from .library_output import suppress_output as suppress_output
from .network import OnnxNetwork as OnnxNetwork
from .network import counted_network as counted_network
from .network import is_onnx_network as is_onnx_network
from .network import onnx_session as onnx_session
from .network import stored_content as stored_content
