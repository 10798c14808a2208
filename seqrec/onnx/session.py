"""Sessions of ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import torch

from seqrec.errors import SeqRecError, refuse_unreadable

EXTRA = "pip install 'seqrec[onnx]'"


def open_session(file: Path) -> Any:
    """Return the session of a graph in a file; see ``build_session``."""
    return _start(str(file), str(file))


def build_session(graph: bytes, label: str) -> Any:
    """Return the session of a graph in memory, with as many threads as PyTorch has.

    Args:
        graph: the graph.
        label: its name in errors.

    Raises:
        SeqRecError: the package is missing, or the graph is broken.
    """
    return _start(graph, label)


def _start(graph: str | bytes, label: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SeqRecError(f"{label}: needs onnxruntime; {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others wait, too
    options.log_severity_level = 3
    with refuse_unreadable(label, "export again"):
        return onnxruntime.InferenceSession(
            graph, sess_options=options, providers=["CPUExecutionProvider"]
        )
