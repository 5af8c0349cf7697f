"""The plan: every hyperparameter of a run, decided before it starts, saved, and replayed from its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homespun.model.config import ModelConfig, config_of
from homespun.model.families import TRAINED
from homespun.planning import base_plan as course
from homespun.planning.base_plan import BasePlan, fact, setting


@dataclass(frozen=True, kw_only=True)
class Plan(BasePlan):
    """All hyperparameters of a run. `homespun train --plan FILE` replays it, to the bit on the same machine."""

    tokenizer: str = fact("char, byte, bpe:N, gpt2, or a path")
    model: str = fact(", ".join(list(TRAINED)[:-1]) + f" or {list(TRAINED)[-1]}")

    n_layer: int = setting("transformer blocks", least=1)
    n_head: int = setting("attention heads per block", least=1)
    n_kv_head: int = setting("key-value heads per block; divides n_head", least=1)
    n_embd: int = setting("width of the residual stream", least=1)
    n_inner: int = setting("hidden width of the feed-forward layers", least=1)
    tied_head: bool = setting("whether the head shares the weights of the token embedding")
    dropout: float = setting(
        "dropout: share of activations set to zero in training; delays overfitting",
        0.0,
        least=0,
        most=0.95,
    )
    kernels: bool = setting("whether native kernels in float32 compute the step; it is not compiled then", False)
    optimizer: str = setting("muon (for the blocks' matrices, AdamW for the rest) or adamw", "muon")

    @classmethod
    def example(cls) -> str:
        return "n_layer=4"

    def __post_init__(self) -> None:
        self.check_one_of("model", tuple(TRAINED))
        super().__post_init__()

    def config(self, vocab_size: int) -> ModelConfig:
        """The config of the model that this plan trains. ModelError if the values do not fit together."""
        names = ("n_layer", "n_head", "n_kv_head", "n_embd", "n_inner", "context_length", "tied_head", "dropout")
        return config_of(self.model, vocab_size=vocab_size, **{name: getattr(self, name) for name in names})


def settable() -> dict[str, str]:
    """The names that `train --set` accepts, each with its help."""
    return course.settable(Plan)


def parse_settings(pairs: dict[str, Any] | list[str]) -> dict[str, Any]:
    """["n_layer=4", "learning_rate=1e-3"], or such pairs as a dict -> checked values.

    Raises UnknownSetting with the nearest names.

    >>> parse_settings(["n_layer=4", "learning_rate=1e-3", "compile=no"])
    {'n_layer': 4, 'learning_rate': 0.001, 'compile': False}
    """
    return course.parsed_settings(pairs, Plan)
