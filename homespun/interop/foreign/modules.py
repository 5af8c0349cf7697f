"""What the scripts of the lecture's repositories call the modules that a model of ours has, a table for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from homespun.model.config import GPTConfig


@dataclass(frozen=True)
class Names:
    """What a script calls our modules: those outside of the blocks, and those inside of each."""

    outside: Mapping[str, str]
    blocks: str
    inside: Mapping[str, str]

    def pairs(self, config: GPTConfig) -> Iterator[tuple[str, str]]:
        """The whole name of each module of a model, and the script's name for it; a tied head is none."""
        for ours, theirs in self.outside.items():
            if ours != "head" or not config.tied_head:
                yield ours, theirs
        for layer in range(config.n_layer):
            for ours, theirs in self.inside.items():
                yield f"blocks.{layer}.{ours}", f"{self.blocks}.{layer}.{theirs}"


NANOGPT = Names(  # query, key and value are one matrix there
    outside={
        "token_embedding": "transformer.wte",
        "position_embedding": "transformer.wpe",
        "final_norm": "transformer.ln_f",
        "head": "lm_head",
    },
    blocks="transformer.h",
    inside={
        "attention_norm": "ln_1",
        "feed_forward_norm": "ln_2",
        "attention.output": "attn.c_proj",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.down": "mlp.c_proj",
    },
)

FIRST_MINGPT = Names(  # the positions are a parameter of the model itself
    outside={"token_embedding": "tok_emb", "final_norm": "ln_f", "head": "head"},
    blocks="blocks",
    inside={
        "attention_norm": "ln1",
        "feed_forward_norm": "ln2",
        "attention.query": "attn.query",
        "attention.key": "attn.key",
        "attention.value": "attn.value",
        "attention.output": "attn.proj",
        "feed_forward.up": "mlp.0",
        "feed_forward.down": "mlp.2",
    },
)

LECTURE = Names(  # every head has its own query, key and value; the model's head has a bias
    outside={
        "token_embedding": "token_embedding_table",
        "position_embedding": "position_embedding_table",
        "final_norm": "ln_f",
    },
    blocks="blocks",
    inside={
        "attention_norm": "ln1",
        "feed_forward_norm": "ln2",
        "attention.output": "sa.proj",
        "feed_forward.up": "ffwd.net.0",
        "feed_forward.down": "ffwd.net.2",
    },
)

LLAMA2C = Names(
    outside={"token_embedding": "tok_embeddings", "final_norm": "norm", "head": "output"},
    blocks="layers",
    inside={
        "attention_norm": "attention_norm",
        "attention.query": "attention.wq",
        "attention.key": "attention.wk",
        "attention.value": "attention.wv",
        "attention.output": "attention.wo",
        "feed_forward_norm": "ffn_norm",
        "feed_forward.gate": "feed_forward.w1",
        "feed_forward.down": "feed_forward.w2",
        "feed_forward.up": "feed_forward.w3",
    },
)
PERMUTED = (".query", ".key")  # llama2.c rotates neighbours of a head, and we rotate its halves
