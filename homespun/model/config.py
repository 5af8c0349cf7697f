"""Every number that a model is made of, and the four families as settings of them. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from homespun.errors import ModelError

# What makes a family. A family is nothing but these settings: the class, the
# forward pass and the training are the same for all of them.
FAMILIES: dict[str, dict[str, Any]] = {
    # The shape of Qwen3 (arXiv 2505.09388): opens there without code of ours.
    "modern": {
        "norm": "rmsnorm",
        "norm_eps": 1e-6,
        "position": "rotary",
        "feed_forward": "swiglu",
        "qk_norm": True,
        "qkv_bias": False,
        "bias": False,
        "head_bias": False,
        "scale_by": "head_width",
    },
    # Llama (arXiv 2302.13971): modern without the normalised queries and keys.
    "llama": {
        "norm": "rmsnorm",
        "norm_eps": 1e-5,
        "position": "rotary",
        "feed_forward": "swiglu",
        "qk_norm": False,
        "qkv_bias": False,
        "bias": False,
        "head_bias": False,
        "scale_by": "head_width",
    },
    # GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").
    "gpt2": {
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "position": "learned",
        "feed_forward": "gelu",
        "qk_norm": False,
        "qkv_bias": True,
        "bias": True,
        "head_bias": False,
        "scale_by": "head_width",
    },
    # The lecture's model to the letter. It scales the scores by the width of the
    # *input*, not of the head: a quirk that is kept, because its numbers depend on it.
    "lecture": {
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "position": "learned",
        "feed_forward": "relu",
        "qk_norm": False,
        "qkv_bias": False,
        "bias": True,
        "head_bias": True,
        "scale_by": "n_embd",
    },
}

# Larger than any model that a person trains or opens with homespun; a config
# beyond them is damaged or hostile, and nothing is allocated for it.
LIMITS = {
    "vocab_size": 2**22,
    "context_length": 2**22,
    "n_layer": 512,
    "n_head": 1024,
    "n_kv_head": 1024,
    "n_embd": 2**16,
    "n_inner": 2**18,
    "head_width": 2**14,
}


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT. Make one with `GPTConfig.of("modern", vocab_size=65, …)`.

    vocab_size      V, how many different tokens there are
    context_length  T at most, the tokens that the model looks at
    n_layer         blocks, one after the other
    n_head          H, heads of attention in a block
    n_kv_head       heads that keys and values are made for; fewer than n_head is grouped-query attention
    n_embd          C, numbers that a token is written as between the blocks
    n_inner         width inside the feed-forward layer
    head_width      D, numbers that a head sees of a token
    """

    family: str
    vocab_size: int
    context_length: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    n_inner: int
    head_width: int
    norm: str
    norm_eps: float
    position: str
    feed_forward: str
    qk_norm: bool
    qkv_bias: bool
    bias: bool
    head_bias: bool
    scale_by: str
    tied_head: bool
    rotary_base: float = 10_000.0
    dropout: float = 0.0

    @classmethod
    def of(
        cls,
        family: str,
        *,
        vocab_size: int,
        context_length: int,
        n_layer: int,
        n_head: int,
        n_embd: int,
        n_kv_head: int | None = None,
        n_inner: int | None = None,
        head_width: int | None = None,
        tied_head: bool | None = None,
        **settings: Any,
    ) -> GPTConfig:
        """A config of that family; what is left out takes the family's usual value.

        Raises ModelError where the numbers do not make a model.
        """
        if family not in FAMILIES:
            raise ModelError(f"There is no family {family!r}.", f"The families are: {', '.join(FAMILIES)}.")
        chosen = {**FAMILIES[family], **settings}
        for name, value in (("vocab_size", vocab_size), ("n_embd", n_embd), ("n_head", n_head)):
            if not isinstance(value, int) or value < 1:
                raise ModelError(f"{name} is {value!r}.", f"{name} is a whole number of at least 1.")
        if head_width is None:
            if n_embd % n_head:
                raise ModelError(
                    f"n_embd = {n_embd} cannot be shared out among n_head = {n_head} heads.",
                    f"Take a multiple of {n_head} for n_embd, such as {-(-n_embd // n_head) * n_head}.",
                )
            head_width = n_embd // n_head
        return cls(
            family=family,
            vocab_size=vocab_size,
            context_length=context_length,
            n_layer=n_layer,
            n_head=n_head,
            n_kv_head=n_head if n_kv_head is None else n_kv_head,
            n_embd=n_embd,
            n_inner=usual_inner_width(n_embd, chosen["feed_forward"]) if n_inner is None else n_inner,
            head_width=head_width,
            # GPT-2 is tied by definition, the lecture is not. Elsewhere a large
            # vocabulary shares its table, and a small one can afford two.
            tied_head=(family == "gpt2" or (family != "lecture" and vocab_size > 8 * n_embd))
            if tied_head is None
            else tied_head,
            **chosen,
        )

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ModelError(
                    f"{name} is {value!r}, which makes no model.",
                    f"{name} is a whole number from 1 to {most:,}.",
                )
        if self.n_head % self.n_kv_head:
            raise ModelError(
                f"n_head = {self.n_head} heads cannot share n_kv_head = {self.n_kv_head} keys and values.",
                "n_kv_head has to divide n_head.",
            )
        if self.position == "rotary" and self.head_width % 2:
            raise ModelError(
                f"A head is {self.head_width} wide, and rotary positions turn pairs of numbers.",
                f"Take an even head width: n_embd / n_head is {self.n_embd} / {self.n_head} now.",
            )
        for name in ("dropout", "norm_eps", "rotary_base"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise ModelError(f"{name} is {value!r}.", f"{name} is a number.")
        if not 0.0 <= self.dropout < 1.0:
            raise ModelError(f"dropout is {self.dropout!r}.", "dropout is at least 0 and less than 1.")
        if not 0.0 < self.norm_eps < 1.0:
            raise ModelError(f"norm_eps is {self.norm_eps!r}.", "norm_eps is more than 0 and less than 1.")
        if not self.rotary_base > 1.0:
            raise ModelError(f"rotary_base is {self.rotary_base!r}.", "rotary_base is more than 1.")

    @property
    def drops_whole(self) -> bool:
        """Whether dropout goes in whole pieces (dropout.py). Families of old keep to what they are known for."""
        return self.family not in ("lecture", "gpt2")

    def with_(self, **changes: Any) -> GPTConfig:
        """The same config but for `changes`."""
        return replace(self, **changes)


@dataclass(frozen=True)
class BigramConfig:
    """vocab_size V; context_length T is how much text a training example holds (the model sees one token)."""

    vocab_size: int
    context_length: int = 8
    family: str = "bigram"

    def __post_init__(self) -> None:
        # The table has V x V entries: a large vocabulary would not fit, and would not be learnt either.
        if not isinstance(self.vocab_size, int) or not 1 <= self.vocab_size <= 2**14:
            raise ModelError(
                f"A bigram table of vocab_size = {self.vocab_size!r} would have that many entries squared.",
                "Take a tokenizer with at most 16,384 tokens: --tokenizer char or byte.",
            )
        if not isinstance(self.context_length, int) or not 1 <= self.context_length <= LIMITS["context_length"]:
            raise ModelError(
                f"context_length is {self.context_length!r}.",
                "context_length is a whole number of at least 1.",
            )


def usual_inner_width(n_embd: int, feed_forward: str) -> int:
    """Four times n_embd; SwiGLU has three matrices where the others have two, so two thirds of that.

    >>> usual_inner_width(192, "gelu"), usual_inner_width(192, "swiglu")
    (768, 512)
    """
    if feed_forward != "swiglu":
        return 4 * n_embd
    multiple = 32  # matrix units work on tiles of 16 or 32 numbers
    return max(multiple, round(8 * n_embd / 3 / multiple) * multiple)
