"""The facts that a fine-tuning plan is computed from: about the text, the model and the machine."""

from __future__ import annotations

from dataclasses import dataclass

from homespun.model.config import ModelConfig


@dataclass(frozen=True)
class TuningFacts:
    """A text, a model and a machine.

    train_tokens    training tokens; of conversations all of them, including the users' turns
    val_tokens      held-out targets
    lengths         tokens of the longest conversation; 0 for plain text
    new_tokens      tokens without a row in the model's embedding
    config          of the model
    seconds         per token of training in sequences of `context_length`; 0 if not measured
    quick           whether native kernels for it are available here
    memory_free     bytes on the device; 0 if unknown
    memory_used     bytes that this program uses before training starts
    """

    train_tokens: int
    val_tokens: int
    config: ModelConfig
    lengths: int = 0
    new_tokens: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    seconds: float = 0.0
    quick: bool = False
    memory: int = 0
    memory_free: int = 0
    memory_used: int = 0
