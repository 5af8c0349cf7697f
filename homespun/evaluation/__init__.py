"""Evaluation: the loss on a whole text, bits per character, bits per byte."""

from homespun.evaluation.loss import Evaluation, batch_size_for, evaluate

__all__ = ["Evaluation", "batch_size_for", "evaluate"]
