"""The names of tensors as other programs saved them, as the names that Hugging Face has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from homespun.checkpoint.hf_names import counterpart
from homespun.model.config import ModelConfig
from homespun.model.family import HuggingFace

# What older files carry beside the weights: the triangle of causal attention, the rotary frequencies.
NOT_WEIGHTS = re.compile(
    r"(^|\.)(h\.\d+\.attn|layers\.\d+\.attention)\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$"
)

# Modules that a trainer puts around a model or a part of it, and that stand in the names of what it saves:
# torch.compile, DataParallel, FSDP, checkpointed activations, DeepSpeed.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}


def bare(name: str) -> str:
    """A tensor's name without wrappers.

    >>> bare("_orig_mod.transformer.wte.weight")
    'transformer.wte.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def usual_names(names: Iterable[str], config: ModelConfig) -> dict[str, str]:
    """Each tensor's name as `layout` has it, for the name that another writer gave it; "" for what is no weight.

    Names of wrappers are taken out, and so is what stands before all names. That is no guess: the names and the
    shapes have to be those of the model afterwards.
    """
    plain = {name: bare(name) for name in names}
    theirs = counterpart(config)
    if theirs is None:
        return plain
    before = common_prefix(plain.values(), theirs)
    head = theirs.names["head"] + "."
    usual: dict[str, str] = {}
    for stored, name in plain.items():
        name = name.removeprefix(before)
        if NOT_WEIGHTS.search(name):
            usual[stored] = ""
        else:
            usual[stored] = name if name.startswith((theirs.outer_name, head)) else theirs.outer_name + name
    return usual


def common_prefix(names: Iterable[str], theirs: HuggingFace) -> str:
    """What another module that holds the model put before every name; the head may stand outside of it.

    >>> from homespun.model.families import LLAMA
    >>> names = ["lm.model.embed_tokens.weight", "lm.model.norm.weight", "lm_head.weight"]
    >>> common_prefix(names, LLAMA.hugging_face)
    'lm.'
    """
    embedding = theirs.names["token_embedding"] + ".weight"
    names = list(names)
    for end in (embedding, embedding.removeprefix(theirs.outer_name)):
        found = [name for name in names if name == end or name.endswith("." + end)]
        if len(found) == 1:
            before = found[0].removesuffix(end)
            rest = [name for name in names if not name.startswith(theirs.names["head"] + ".")]
            return before if all(name.startswith(before) for name in rest) else ""
    return ""
