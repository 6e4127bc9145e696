"""Face recognizers: the literature's networks, any ONNX model, and their verification thresholds.

A PyTorch checkpoint is added with a file for its architecture and a line in pool.py; an ONNX model by
dropping it and its JSON sidecar into a weight folder.
"""

from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.pool import (
    CHECKPOINTS,
    Checkpoint,
    list_recognizers,
    load_recognizer,
    register_recognizer,
    weight_folders,
    weights_file,
)

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "Recognizer",
    "list_recognizers",
    "load_recognizer",
    "register_recognizer",
    "weight_folders",
    "weights_file",
]
