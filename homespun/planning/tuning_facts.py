"""What the plan of a fine-tuning rests on: facts about the text, the model and the machine."""

from __future__ import annotations

from dataclasses import dataclass

from homespun.model.config import ModelConfig


@dataclass(frozen=True)
class TuningFacts:
    """A text, a model and a machine.

    train_tokens    that are learnt from; of conversations all, their questions too
    val_tokens      predictions that are held out
    lengths         of conversations: how many tokens the longest has; 0 for a plain text
    new_tokens      that the model has no row of its embedding for
    config          of the model
    seconds         for a token of training in rows of `context_length`, where it was measured; 0 elsewhere
    quick           whether there are compiled operations for it here
    memory          bytes that the device has, and
    memory_free     that are free; 0 where nobody has looked
    memory_used     bytes of this program before it trains
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
