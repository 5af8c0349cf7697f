"""Evaluation: the loss on a whole text, bits per character and byte; calibration, and what is known by heart."""

from homespun.evaluation.calibration import Bin, Calibration, calibrate
from homespun.evaluation.comparison import same_text
from homespun.evaluation.loss import Evaluation, batch_size_for, evaluate
from homespun.evaluation.memorisation import Copied, Memorisation, memorisation

__all__ = [
    "Bin",
    "Calibration",
    "Copied",
    "Evaluation",
    "Memorisation",
    "batch_size_for",
    "calibrate",
    "evaluate",
    "memorisation",
    "same_text",
]
