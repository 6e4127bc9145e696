"""Face recognizers: the literature's networks, any ONNX model, and their verification thresholds.

A PyTorch checkpoint is added with a file for its architecture and a line in checkpoints.py; an ONNX model by dropping
it and its JSON sidecar into a weight folder; a family of recognizers by a file and a line in pool.py.
"""

from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.checkpoints import CHECKPOINTS, Checkpoint, register_recognizer, weight_folders
from facecloak.recognizers.pool import (
    list_recognizers,
    load_recognizer,
    recognizer_asset,
    recognizer_licence,
    weights_file,
)

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "Recognizer",
    "list_recognizers",
    "load_recognizer",
    "recognizer_asset",
    "recognizer_licence",
    "register_recognizer",
    "weight_folders",
    "weights_file",
]
