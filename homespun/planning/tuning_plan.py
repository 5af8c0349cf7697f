"""The plan of a fine-tuning: the base model, the method, and the hyperparameters of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homespun.errors import UnknownSetting
from homespun.planning import base_plan as course
from homespun.planning.base_plan import BasePlan, fact, setting

METHODS = ("lora", "qlora", "full")


@dataclass(frozen=True, kw_only=True)
class TuningPlan(BasePlan):
    """All hyperparameters of fine-tuning. `homespun finetune --plan FILE` replays it to the bit on one machine."""

    base: str = fact("the model that is tuned: a folder, a file, a hub id, or smollm2")
    base_revision: str = fact("of a model from the hub: the commit", "")
    base_key: str = fact("fingerprint of its weights, so that a replay knows whether they are still the same", "")
    method: str = fact("lora (small matrices beside the model's), qlora (and the model in four bits) or full")
    conversations: bool = fact("whether the text is conversations, of which only the answers are targets", False)
    answers: str = fact("in an export of a chat: whose messages are the answers", "")
    pause: float = fact("in an export of a chat: hours without a message that begin another conversation", 6.0)
    skip_bad: bool = fact("whether malformed records of conversations are left out", False)

    rank: int = setting("rank of LoRA; 0 = the whole model is trained", 16, least=0, most=1024)
    alpha: float = setting("scale of LoRA: alpha / rank multiplies the update", 32.0, least=0)
    trainable_parameters: int = fact("trainable parameters", 0)
    dropout: float = setting("dropout: share of activations set to zero; slow on a CPU", 0.0, least=0, most=0.95)
    quick: bool = setting(
        "native kernels for attention and SwiGLU, where the processor multiplies in bfloat16", False
    )
    recompute: bool = setting("activation checkpointing: recompute every block; less memory", False)

    def __post_init__(self) -> None:
        self.check_one_of("method", METHODS)
        if (self.rank == 0) != (self.method == "full"):
            raise UnknownSetting(
                f"rank = {self.rank} does not go with {self.method}.",
                "With LoRA the rank is at least 1; with --full there is none.",
            )
        super().__post_init__()

    @classmethod
    def verb(cls) -> str:
        return "finetune"


def settable() -> dict[str, str]:
    """The names that `finetune --set` accepts, each with its help."""
    return course.settable(TuningPlan)


def parse_settings(pairs: dict[str, Any] | list[str]) -> dict[str, Any]:
    """["rank=8", "learning_rate=1e-3"], or such pairs as a dict -> checked values. Raises UnknownSetting.

    >>> parse_settings(["rank=8", "learning_rate=1e-3"])
    {'rank': 8, 'learning_rate': 0.001}
    """
    return course.parsed_settings(pairs, TuningPlan)
