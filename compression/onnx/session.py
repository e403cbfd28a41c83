"""An ONNX graph, ready to run on the CPU."""

import onnxruntime


def onnx_session(source: str | bytes, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """The file at a path, or the content of one, to be run with `threads` threads in silence."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
