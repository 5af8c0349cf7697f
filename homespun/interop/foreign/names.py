"""State dicts of the lecture's repositories, by the names of their parameters: which model they are of.

Each reader uses the names and shapes alone. What they do not say (the number of heads) is in the settings
beside the weights, or is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homespun.errors import CheckpointError, ModelError, UsageError
from homespun.interop.foreign.modules import FIRST_MINGPT, LECTURE, LLAMA2C, NANOGPT, PERMUTED, Names
from homespun.interop.foreign.torch_file import Tensor
from homespun.model.config import BigramConfig, GPTConfig, ModelConfig

# The triangle of causal attention and the rotary angles, which are no parameters.
NOT_WEIGHTS = re.compile(
    r"\.attn\.(bias|masked_bias|mask)$|\.tril$|^freqs_(cos|sin)$|^rope\.freqs$|(^|\.)inv_freq$"
)
BLOCK = re.compile(r"(?:blocks|h|layers)\.(\d+)\.")
MOST_LAYERS = 512

# minGPT's config.json may name one of its sizes, and no number of heads.
_SIZES = (
    "openai-gpt 12, gpt2 12, gpt2-medium 16, gpt2-large 20, gpt2-xl 25, gopher-44m 16, "
    "gpt-mini 6, gpt-micro 4, gpt-nano 3"
)
MINGPT_HEADS = {name: int(heads) for name, heads in (size.split() for size in _SIZES.split(","))}
AGAIN = "Take the file from where it comes from again."
HEADS = "Say how many heads of attention it has:  --heads N"


@dataclass(frozen=True)
class Part:
    """Where one of our tensors is in the file. rows: of how many equal parts of its rows it is which one.

    An empty name is a tensor of zeros. permute: neighbours of a head become halves.
    """

    name: str
    rows: tuple[int, int] = (0, 1)
    transposed: bool = False
    permute: bool = False


@dataclass(frozen=True)
class Described:
    """A model, described: its config, and what each of our tensors is made of, side by side in rows.

    kind: what it is, for people. notes: what was guessed. rivals: configs that the same weights fit.
    """

    kind: str
    config: ModelConfig
    parts: Mapping[str, tuple[Part, ...]]
    notes: tuple[str, ...] = ()
    rivals: tuple[ModelConfig, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What the person said of the model. gelu: "exact", "tanh", or "" for what is usual of such a file."""

    heads: int | None = None
    gelu: str = ""


@dataclass(frozen=True)
class State:
    """A state dict: its tensors by name, and the settings beside it. source: the file, for messages.

    has_arguments: the settings are called model_args, as nanoGPT and llama2.c call them.
    """

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    has_arguments: bool = False

    def shape(self, name: str, dimensions: int = 2) -> tuple[int, ...]:
        tensor = self.tensors.get(name)
        if tensor is None or len(tensor.shape) != dimensions:
            what = "is missing" if tensor is None else f"has the shape {list(tensor.shape)}"
            raise CheckpointError(f"{self.source}: {name} {what}.", AGAIN)
        return tensor.shape

    def layers(self) -> int:
        found = {int(match[1]) for name in self.tensors if (match := BLOCK.search(name)) and len(match[1]) < 9}
        if not found or max(found) >= MOST_LAYERS or len(found) != max(found) + 1:
            raise CheckpointError(f"{self.source}: its {len(found):,} blocks are not numbered from 0 on.", AGAIN)
        return len(found)

    def heads(self, wishes: Wishes, *names: str) -> int:
        said = next((self.settings[name] for name in names if type(self.settings.get(name)) is int), None)
        said = MINGPT_HEADS.get(str(self.settings.get("model_type"))) if said is None else said
        heads = wishes.heads if wishes.heads is not None else said
        if heads is None:
            raise UsageError(f"{self.source} does not say how many heads of attention its model has.", HEADS)
        return heads

    def number(self, name: str, usual: float = 0.0) -> float:
        value = self.settings.get(name)
        return float(value) if isinstance(value, (int, float)) and 0 <= value < 1 else usual


def described(state: State, wishes: Wishes) -> Described:
    """What model this state dict is. Raises CheckpointError for names that no reader knows, UsageError."""
    for name, reader in READERS.items():
        if name in state.tensors:
            try:
                return reader(state, wishes)
            except ModelError as error:
                raise CheckpointError(f"{state.source}: {error.what}", error.todo) from error
    first = ", ".join(name[:60] for name in list(state.tensors)[:4]) or "nothing"
    raise CheckpointError(
        f"{state.source} holds no model that homespun knows by its names: {first}, ….",
        "It imports nanoGPT, build-nanogpt, minGPT, the lecture's gpt.py and bigram.py, and llama2.c.",
    )


# ---- what the readers share ----


def parts_of(
    state: State, config: GPTConfig, names: Names, biases: bool = True, transposed: bool = False
) -> dict[str, tuple[Part, ...]]:
    """What these modules of ours are made of. biases, transposed: of the linear layers in the file."""
    parts: dict[str, tuple[Part, ...]] = {}
    for ours, theirs in names.pairs(config):
        if ours in ("token_embedding", "position_embedding", "head"):
            parts[f"{ours}.weight"] = (Part(f"{theirs}.weight"),)
        elif ours.endswith("norm"):
            parts |= norm(state, ours, theirs)
        else:
            parts |= linear(ours, theirs, biases, transposed=transposed)
    return parts


def norm(state: State, ours: str, theirs: str) -> dict[str, tuple[Part, ...]]:
    bias = f"{theirs}.bias"
    return {
        f"{ours}.weight": (Part(f"{theirs}.weight"),),
        f"{ours}.bias": (Part(bias if bias in state.tensors else ""),),
    }


def linear(
    ours: str, theirs: str, has_bias: bool, rows: tuple[int, int] = (0, 1), transposed: bool = False
) -> dict[str, tuple[Part, ...]]:
    """A linear layer of ours; without a bias in the file it gets one of zeros, which changes nothing."""
    return {
        f"{ours}.weight": (Part(f"{theirs}.weight", rows, transposed),),
        f"{ours}.bias": (Part(f"{theirs}.bias" if has_bias else "", rows),),
    }


def is_tied(state: State, embedding: str, head: str) -> bool:
    """Whether the head is the embedding: it is not there, or has the very numbers."""
    one, other = state.tensors[embedding], state.tensors.get(head)
    return other is None or (one.storage.key, one.offset, one.shape) == (
        other.storage.key,
        other.offset,
        other.shape,
    )


# ---- GPT-2's names: nanoGPT, build-nanogpt, minGPT since 2021 ----


def gpt2_names(state: State, wishes: Wishes) -> Described:
    vocab_size, n_embd = state.shape("transformer.wte.weight")
    context_length, _ = state.shape("transformer.wpe.weight")
    rows, columns = state.shape("transformer.h.0.attn.c_attn.weight")
    transposed = (rows, columns) == (n_embd, 3 * n_embd)  # as transformers has it, and nobody else
    up = state.shape("transformer.h.0.mlp.c_fc.weight")
    # nanoGPT had the tanh approximation before its settings said whether there are biases, and for some months
    # after.
    gelu = wishes.gelu or ("exact" if "bias" in state.settings else "tanh")
    config = GPTConfig.of(
        "gpt2",
        vocab_size=vocab_size,
        context_length=context_length,
        n_layer=state.layers(),
        n_head=state.heads(wishes, "n_head"),
        n_embd=n_embd,
        n_inner=up[1] if transposed else up[0],
        tied_head=is_tied(state, "transformer.wte.weight", "lm_head.weight"),
        dropout=state.number("dropout"),
        feed_forward="gelu_exact" if gelu == "exact" else "gelu",
    )
    biases = "transformer.h.0.attn.c_attn.bias" in state.tensors
    parts = parts_of(state, config, NANOGPT, biases, transposed)
    for layer in range(config.n_layer):
        theirs = f"transformer.h.{layer}.attn.c_attn"
        for at, name in enumerate(("query", "key", "value")):
            parts |= linear(f"blocks.{layer}.attention.{name}", theirs, biases, (at, 3), transposed)
    kind = "a checkpoint of nanoGPT" if state.has_arguments else "a checkpoint with the names of minGPT"
    return Described(kind, config, parts, () if wishes.gelu else (GELU[gelu],))


GELU = {
    "exact": "the file does not say which GELU it was trained with: the exact one is taken, as nanoGPT has it "
    "since 2023; for an older one: --gelu tanh",
    "tanh": "the file does not say which GELU it was trained with: the tanh approximation is taken, as minGPT and "
    "GPT-2 have it; for the other: --gelu exact",
}


# ---- minGPT of 2020 ----


def first_mingpt(state: State, wishes: Wishes) -> Described:
    vocab_size, n_embd = state.shape("tok_emb.weight")
    _, context_length, _ = state.shape("pos_emb", 3)
    config = GPTConfig.of(
        "gpt2",
        vocab_size=vocab_size,
        context_length=context_length,
        n_layer=state.layers(),
        n_head=state.heads(wishes, "n_head"),
        n_embd=n_embd,
        n_inner=state.shape("blocks.0.mlp.0.weight")[0],
        tied_head=is_tied(state, "tok_emb.weight", "head.weight"),
        feed_forward="gelu" if wishes.gelu == "tanh" else "gelu_exact",
    )
    parts = {"position_embedding.weight": (Part("pos_emb"),), **parts_of(state, config, FIRST_MINGPT)}
    return Described("a checkpoint of minGPT as of 2020", config, parts)


# ---- the lecture's gpt.py and bigram.py ----


def lecture(state: State, wishes: Wishes) -> Described:
    vocab_size, n_embd = state.shape("token_embedding_table.weight")
    if "position_embedding_table.weight" not in state.tensors:
        table = {"table.weight": (Part("token_embedding_table.weight"),)}
        if vocab_size != n_embd:
            raise CheckpointError(
                f"{state.source}: its table has the shape {[vocab_size, n_embd]}, and a bigram's is square.", AGAIN
            )
        return Described("the lecture's bigram", BigramConfig(vocab_size), table)
    context_length, _ = state.shape("position_embedding_table.weight")
    first = [re.match(r"blocks\.0\.sa\.heads\.(\d{1,4})\.query\.weight$", name) for name in state.tensors]
    heads = sorted(int(match[1]) for match in first if match)
    if heads != list(range(len(heads))) or not heads:
        raise CheckpointError(f"{state.source}: the heads of its first block are not numbered from 0 on.", AGAIN)
    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "context_length": context_length,
        "n_layer": state.layers(),
        "n_head": len(heads),
        "n_embd": n_embd,
        "n_inner": state.shape("blocks.0.ffwd.net.0.weight")[0],
        "head_width": state.shape("blocks.0.sa.heads.0.query.weight")[0],
        "tied_head": False,
    }
    # The video divides the scores by the root of n_embd, the repository by that of a head's width since.
    by_head, by_width = (GPTConfig.of("lecture", **shape, scale_by=by) for by in ("head_width", "n_embd"))
    parts = {**parts_of(state, by_head, LECTURE), **linear("head", "lm_head", True)}
    for layer in range(by_head.n_layer):
        at = f"blocks.{layer}."
        for name in ("query", "key", "value"):
            side_by_side = tuple(Part(f"{at}sa.heads.{head}.{name}.weight") for head in heads)
            parts[f"{at}attention.{name}.weight"] = side_by_side
    return Described("a model of the lecture's gpt.py", by_head, parts, rivals=(by_width,))


# ---- llama2.c ----


def llama2c(state: State, wishes: Wishes) -> Described:
    vocab_size, n_embd = state.shape("tok_embeddings.weight")
    heads = state.heads(wishes, "n_heads", "n_head")
    width = max(1, n_embd // max(1, heads))
    keys = state.shape("layers.0.attention.wk.weight")[0]
    if state.settings.get("use_scaled_rope"):
        raise CheckpointError(
            f"{state.source} has stretched rotary positions (use_scaled_rope), which homespun does not compute.",
            "Take a model without them.",
        )
    context = state.settings.get("max_seq_len")
    context = context if type(context) is int else None
    config = GPTConfig.of(
        "llama",
        vocab_size=vocab_size,
        context_length=2048 if context is None else context,
        n_layer=state.layers(),
        n_head=heads,
        n_kv_head=max(1, keys // width),
        n_embd=n_embd,
        n_inner=state.shape("layers.0.feed_forward.w1.weight")[0],
        tied_head=is_tied(state, "tok_embeddings.weight", "output.weight"),
        dropout=state.number("dropout"),
        norm_eps=state.number("norm_eps", 1e-5),
        rotary_base=float(base)
        if isinstance(base := state.settings.get("rope_theta"), (int, float))
        else 10_000.0,
    )
    parts = {
        f"{ours}.weight": (Part(f"{theirs}.weight", permute=ours.endswith(PERMUTED)),)
        for ours, theirs in LLAMA2C.pairs(config)
    }
    notes = ("the file does not say how long its context is: 2,048 tokens are taken",) if context is None else ()
    return Described("a checkpoint of llama2.c", config, parts, notes)


# By a parameter that each of them has and no other.
READERS: dict[str, Callable[[State, Wishes], Described]] = {
    "transformer.wte.weight": gpt2_names,
    "tok_emb.weight": first_mingpt,
    "token_embedding_table.weight": lecture,
    "tok_embeddings.weight": llama2c,
}
