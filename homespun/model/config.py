"""Every number that a model is made of, and what follows from these numbers alone. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from homespun.errors import ModelError
from homespun.model import size
from homespun.model.families import BIGRAM, FAMILIES, MODELS
from homespun.model.layers import GLOBAL, KINDS, LOCAL
from homespun.model.model_config import ModelConfig
from homespun.model.rope_scaling import RopeScaling

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
CHOICES = {"norm_place": ("before", "after", "both"), "qk_norm_over": ("head", "all")}
SCALES = ("attention_scale", "embedding_scale", "residual_scale", "logit_scale")


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT. Make one with `GPTConfig.of("modern", vocab_size=65, …)`.

    vocab_size      V, how many different tokens there are
    context_length  T at most: the most tokens that a position can attend to
    n_layer         blocks, one after the other
    n_head          H, heads of attention in a block
    n_kv_head       heads that keys and values are made for; fewer than n_head is grouped-query attention
    n_embd          C, numbers that a token is written as between the blocks
    n_inner         width inside the feed-forward layer
    head_width      D, numbers that a head sees of a token
    layers          what kind each layer is of (layers.py), as a pattern that is repeated from the first layer on
    window          how many tokens a local layer attends to, the token itself included
    rope_scaling    how the rotary frequencies are changed for longer texts; None for not at all
    local_base      of the rotary positions in local layers, which are not changed; 0 where they are as elsewhere
    rotary_width    R, how many numbers of a head are rotated, the first ones; 0 for all
    norm_place      whether a block normalises what its layers read ("before"), what they add ("after"), or "both"
    qk_norm_over    whether queries and keys are normalised in each "head", or over "all" heads together
    parallel        whether the two layers of a block read the same
    attention_scale what a query's product with a key is multiplied with; 0 for what scale_by says
    embedding_scale what the embedding of a token is multiplied with
    residual_scale  what a layer's output is multiplied with before it is added
    logit_scale     what the logits are multiplied with
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
    # Settings of other people's models. Each has a default with which it changes nothing.
    layers: tuple[str, ...] = (GLOBAL,)
    window: int = 0
    rope_scaling: RopeScaling | None = None
    local_base: float = 0.0
    rotary_width: int = 0
    norm_place: str = "before"
    qk_norm_over: str = "head"
    parallel: bool = False
    attention_scale: float = 0.0
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0

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
        sizes = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, "head_width": head_width}
        chosen = {**FAMILIES[family].settings_for(sizes), **settings}
        if tied_head is None:
            usual = FAMILIES[family].ties_head
            tied_head = vocab_size > 8 * n_embd if usual is None else usual
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
            tied_head=tied_head,
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
        self.check_layers()
        self.check_rope()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ModelError(f"{name} is {getattr(self, name)!r}.", f"It is one of: {', '.join(choices)}.")
        for name in SCALES:
            value = getattr(self, name)
            least = 0.0 if name == "attention_scale" else 1e-9
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value < 1e9:
                raise ModelError(f"{name} is {value!r}.", f"{name} is a number above 0.")

    def check_rope(self) -> None:
        width = self.rotary_width
        if not isinstance(width, int) or isinstance(width, bool) or not 0 <= width <= self.head_width or width % 2:
            raise ModelError(
                f"rotary_width is {width!r}.", f"It is even, and at most the head_width of {self.head_width}."
            )
        if width == self.head_width:
            object.__setattr__(self, "rotary_width", 0)
        if self.local_base and not self.local_base > 1.0:
            raise ModelError(f"local_base is {self.local_base!r}.", "local_base is more than 1, or 0.")
        if self.rope_scaling is not None:
            self.rope_scaling.check_width(self.rotary)

    def check_layers(self) -> None:
        if not self.layers or not set(self.layers) <= set(KINDS):
            raise ModelError(
                f"layers is {self.layers!r}.", f"A layer is of one of these kinds: {', '.join(KINDS)}."
            )
        if not isinstance(self.window, int) or isinstance(self.window, bool) or self.window < 0:
            raise ModelError(f"window is {self.window!r}.", "window is a whole number of tokens.")
        if LOCAL in self.layers and not self.window:
            raise ModelError(
                "Local layers attend to a window, and window is 0.", "window is a number of tokens above 0."
            )

    def kind_of(self, layer: int) -> str:
        """What kind the layer of that index is of."""
        return self.layers[layer % len(self.layers)]

    def window_of(self, layer: int) -> int:
        """How many tokens the layer of that index attends to; 0 for all."""
        return self.window if self.kind_of(layer) == LOCAL else 0

    @property
    def rotary(self) -> int:
        """R, how many numbers of a head are rotated."""
        return self.rotary_width or self.head_width

    @property
    def query_width(self) -> int:
        """H D, the queries of all heads side by side."""
        return self.n_head * self.head_width

    @property
    def key_width(self) -> int:
        """G D, the keys of all heads side by side; the values are as many."""
        return self.n_kv_head * self.head_width

    @property
    def scale(self) -> float:
        """What a query's product with a key is multiplied with."""
        if self.attention_scale:
            return self.attention_scale
        return float((self.head_width if self.scale_by == "head_width" else self.n_embd) ** -0.5)

    @property
    def drops_whole(self) -> bool:
        """Whether dropout goes in whole pieces (dropout.py)."""
        return FAMILIES[self.family].drops_whole

    @property
    def drops_embedding(self) -> bool:
        """Whether dropout also stands behind the embedding."""
        return FAMILIES[self.family].drops_embedding

    @property
    def shrinks_branches(self) -> bool:
        """Whether what the blocks add starts smaller."""
        return FAMILIES[self.family].shrinks_branches

    def number_of_parameters(self) -> int:
        """
        >>> toy = GPTConfig.of("lecture", vocab_size=65, context_length=32, n_layer=4, n_head=4, n_embd=64)
        >>> toy.number_of_parameters()
        209729
        """
        return size.number_of_parameters(self)

    def table_entries(self) -> int:
        return size.table_entries(self)

    def matrix_entries(self) -> int:
        return size.matrix_entries(self)

    def matrix_sides(self) -> int:
        return size.matrix_sides(self)

    def numbers_in_the_blocks(self, *, scores: bool = True) -> int:
        return size.numbers_in_the_blocks(self, scores=scores)

    def flops_per_token(self, *, training: bool = False, context: int | None = None) -> int:
        return size.flops_per_token(self, training=training, context=context)

    def memory(self, sequences: int) -> int:
        return size.training_memory(self, sequences)

    def cache_bytes(self) -> int:
        return size.cache_bytes(self)

    def with_(self, **changes: Any) -> GPTConfig:
        """The same config but for `changes`."""
        return replace(self, **changes)


@dataclass(frozen=True)
class BigramConfig:
    """vocab_size V; context_length T is how much text a training example holds (the model sees one token)."""

    vocab_size: int
    context_length: int = 8
    family: str = BIGRAM.name

    # As a GPT it would have no blocks, and vectors that are the logits already.
    n_layer: ClassVar[int] = 0
    n_head: ClassVar[int] = 0
    n_inner: ClassVar[int] = 0
    query_width: ClassVar[int] = 0
    key_width: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0
    tied_head: ClassVar[bool] = False

    @property
    def n_embd(self) -> int:
        return self.vocab_size

    def __post_init__(self) -> None:
        # The table has V x V entries: a large vocabulary would not fit, and could not be trained either.
        if not isinstance(self.vocab_size, int) or not 1 <= self.vocab_size <= 2**14:
            raise ModelError(
                f"A bigram table of vocab_size = {self.vocab_size!r} would have that many entries squared.",
                "Take a tokenizer with at most 16,384 tokens: --tokenizer byte or bpe:4096.",
            )
        if not isinstance(self.context_length, int) or not 1 <= self.context_length <= LIMITS["context_length"]:
            raise ModelError(
                f"context_length is {self.context_length!r}.",
                "context_length is a whole number of at least 1.",
            )

    def number_of_parameters(self) -> int:
        return self.vocab_size**2

    def table_entries(self) -> int:
        return self.vocab_size**2  # the table is all there is

    def matrix_entries(self) -> int:
        return 0

    def matrix_sides(self) -> int:
        return 0

    def numbers_in_the_blocks(self, *, scores: bool = True) -> int:
        return 0

    def flops_per_token(self, *, training: bool = False, context: int | None = None) -> int:
        return 0  # a look-up

    def memory(self, sequences: int) -> int:
        """Weights, gradients, two moments, and three times the logits."""
        return 16 * self.number_of_parameters() + 12 * sequences * self.context_length * self.vocab_size

    def cache_bytes(self) -> int:
        return 0

    def with_(self, **changes: Any) -> BigramConfig:
        return replace(self, **changes)


def config_of(family: str, *, vocab_size: int, context_length: int, **settings: Any) -> ModelConfig:
    """The config of a model of that family; a table takes none of the other settings.

    Raises ModelError where the numbers do not make a model.
    """
    if family in MODELS and MODELS[family].is_table:
        return BigramConfig(vocab_size, context_length)
    return GPTConfig.of(family, vocab_size=vocab_size, context_length=context_length, **settings)


def usual_inner_width(n_embd: int, feed_forward: str) -> int:
    """Four times n_embd; a gated layer has three matrices where the others have two, so two thirds of that.

    >>> usual_inner_width(192, "gelu"), usual_inner_width(192, "swiglu")
    (768, 512)
    """
    if feed_forward not in size.GATED:
        return 4 * n_embd
    multiple = 32  # matrix units work on tiles of 16 or 32 numbers
    return max(multiple, round(8 * n_embd / 3 / multiple) * multiple)
