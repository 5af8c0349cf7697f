"""The settings of a GGUF file in our words, for the shapes that the families have (model/families.py).

What would change the model's numbers and that homespun does not have is refused by name: a model that
opens and then writes nonsense helps nobody.
"""

from __future__ import annotations

from typing import Any

from homespun.checkpoint.fields import Fields, brief
from homespun.checkpoint.folder import check_context
from homespun.checkpoint.hf_names import without_idle_windows
from homespun.checkpoint.layer_kinds import read_layers
from homespun.checkpoint.rope_fields import within_original_context
from homespun.errors import CheckpointError, ModelError, warn
from homespun.interop.gguf.file import GGUFFile
from homespun.interop.gguf.rope import read_rope_scaling
from homespun.model.config import GPTConfig
from homespun.model.families import FAMILIES, why_not
from homespun.model.family import GGUF

# Of several families that it does not tell apart, the first: a Mistral is a Llama there.
FAMILY_OF = {one.gguf.architecture: one for one in reversed(FAMILIES.values()) if one.gguf}
# Settings of other shapes, and the value with which they change nothing.
WITHOUT_EFFECT = {
    "expert_count": 0,
    "attention.max_alibi_bias": 0.0,
    "attention.clamp_kqv": 0.0,
    "attn_logit_softcapping": 0.0,
    "final_logit_softcapping": 0.0,
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "embedding_scale": 1.0,
    "attention.causal": True,
    "use_parallel_residual": False,
}


def config_of(file: GGUFFile) -> GPTConfig:
    """The config that the file describes. Raises CheckpointError for another kind of model, or bad numbers."""
    shape = file.settings.get("general.architecture")
    if not isinstance(shape, str) or shape not in FAMILY_OF:
        raise CheckpointError(
            f"{file.path}: general.architecture is {brief(shape)}, a kind of model that homespun does not have."
            f"{why_not(shape)}",
            f"It opens: {', '.join(FAMILY_OF)}.",
        )
    fields = Fields(file.settings, str(file.path))
    family = FAMILY_OF[shape]
    theirs = family.gguf
    assert theirs is not None
    check_the_rest(fields, shape, theirs)
    try:
        config = GPTConfig.of(family.name, **settings_of(fields, file, theirs))
    except ModelError as error:
        raise CheckpointError(f"{file.path}: {error.what}", error.todo) from error
    check_context(config, str(file.path))
    return config


def check_the_rest(fields: Fields, shape: str, theirs: GGUF) -> None:
    understood = {field.name for field in theirs.fields.values()}
    for name, harmless in WITHOUT_EFFECT.items():
        if name in understood:
            continue
        value = fields.values.get(f"{shape}.{name}")
        if value is not None and value != harmless:
            fields.refuse(f"{shape}.{name}", value, f"{harmless}, or nothing said of it")


def settings_of(fields: Fields, file: GGUFFile, theirs: GGUF) -> dict[str, Any]:
    """What the file says of the model, by our names."""
    shape = theirs.architecture
    found = fields.model_fields(theirs.fields, f"{shape}.")
    for ours, field in theirs.fields.items():
        for copy in field.copies:
            fields.one_of(f"{shape}.{copy}", (found[ours],), found[ours])
    found |= {name: value(found) for name, value in theirs.fixed.items()}
    found |= layers_of(fields, theirs, found)
    if "rotary_base" in found:
        found |= read_rope_scaling(fields, file, f"{shape}.", found, permuted=theirs.permuted)
        found |= within_original_context(found, fields.origin)
    return {
        **found,
        "vocab_size": rows_of(file, "token_embd.weight"),
        "norm_eps": in_full(found["norm_eps"]),
        "tied_head": is_tied(file),
    }


def layers_of(fields: Fields, theirs: GGUF, found: dict[str, Any]) -> dict[str, Any]:
    """Which layers are local. Where llama.cpp has no windows, the context is only as long as the file's window."""
    prefix, context_length = f"{theirs.architecture}.", found["context_length"]
    if theirs.windows is not None or theirs.no_rope is not None:
        layers = read_layers(fields, theirs, found["n_layer"], prefix)
        return without_idle_windows(layers, found)
    name = f"{prefix}attention.sliding_window"
    window = fields.whole(name, 0, 2**31, 0)
    if not 0 < window < context_length:
        return {}
    warn(
        f"{fields.origin}: {name} limits attention to {window:,} tokens, and llama.cpp does not compute that; the "
        f"model opens with a context of {window:,} instead of {context_length:,} tokens, where it is the same"
    )
    return {"context_length": window}


def in_full(epsilon: float) -> float:
    """The file has it in 32 bits: 1e-5 is 9.99999974738e-06 there.

    >>> in_full(9.999999747378752e-06)
    1e-05
    """
    return float(f"{epsilon:.7g}")


def rows_of(file: GGUFFile, name: str) -> int:
    tensor = file.tensors.get(name)
    if tensor is None or len(tensor.shape) != 2:
        raise CheckpointError(
            f"{file.path} has no table of tokens ({name}).", "Get the file again; this one is not whole."
        )
    return tensor.shape[0]


def is_tied(file: GGUFFile) -> bool:
    """Whether the head is the embedding: it is left out then, or (as llama.cpp writes GPT-2) stored twice."""
    head, embedding = file.tensors.get("output.weight"), file.tensors.get("token_embd.weight")
    if head is None or embedding is None:
        return True
    if (head.type, head.shape) != (embedding.type, embedding.shape):
        return False
    with file.path.open("rb") as one, file.path.open("rb") as other:
        one.seek(head.start)
        other.seek(embedding.start)
        left = head.bytes
        while left:
            block = min(left, 2**20)
            if one.read(block) != other.read(block):
                return False
            left -= block
    return True
