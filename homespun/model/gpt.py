"""The GPT: an embedding, a stack of transformer blocks, and a head that gives the logits of the next token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.model.bigram import Bigram
from homespun.model.block import Block
from homespun.model.causal_lm import CausalLM
from homespun.model.config import BigramConfig, GPTConfig, ModelConfig
from homespun.model.context import Causal, Context, Rope
from homespun.model.dropout import Dropout
from homespun.model.layers import GLOBAL, LOCAL
from homespun.model.norm import make_norm
from homespun.model.rotary import rope


class GPT(CausalLM):
    """A decoder-only transformer, of the family that its config says."""

    config: GPTConfig
    cosines: Tensor  # (context_length, R/2), only where positions are rotary
    sines: Tensor
    local_cosines: Tensor  # of local layers, where these have a base of their own
    local_sines: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = (
            nn.Embedding(config.context_length, config.n_embd) if config.position == "learned" else None
        )
        self.dropout = Dropout(config.dropout if config.drops_embedding else 0.0)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = make_norm(config)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=config.head_bias)
        if config.tied_head:
            self.head.weight = self.token_embedding.weight
        if config.position == "rotary":
            length, width = config.context_length, config.rotary
            self.keep_rope("", *rope(length, width, config.rotary_base, config.rope_scaling))
            if config.local_base:
                self.keep_rope("local_", *rope(length, width, config.local_base))
        self.apply(initialise)
        if config.shrinks_branches:
            self.shrink_branches()

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, context: Context | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids (B, T), targets (B, T) or None -> logits (B, T, V), mean loss in nats or None.

        A target of -1 is not counted. context: what the positions see; None is the plain causal one.
        Raises ModelError where the text is longer than context_length.
        """
        logits = self.head(self.features(ids, context))  # (B, T, V)
        if targets is None:
            return logits, None
        # In float32 even under autocast: a loss rounded to bfloat16 shows no progress.
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        return logits, loss

    def features(self, ids: Tensor, context: Context | None = None) -> Tensor:
        """ids (B, T) -> the input of the head, (B, T, C)."""
        return self.for_head(self.residual_stream(ids, context))

    def residual_stream(self, ids: Tensor, context: Context | None = None) -> Tensor:
        """ids (B, T) -> what the blocks have added up to, (B, T, C)."""
        context = Causal() if context is None else context
        if context.longest(ids) > self.config.context_length:
            raise ModelError(
                f"{context.longest(ids)} tokens are more than the context_length of {self.config.context_length}.",
                "Give the model the last tokens of the text only.",
            )
        positions = context.positions(ids)
        x = self.embed(ids)  # (B, T, C)
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[positions]  # (B, T, C) + (T, C) or (B, T, C)
        else:
            context.ropes = self.ropes(positions)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, context)  # (B, T, C)
        return x

    def embed(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, C)"""
        x = self.token_embedding(ids)
        scale = self.config.embedding_scale
        # Gemma rounds the factor to the dtype of its weights, and was trained so.
        return x if scale == 1.0 else x * torch.tensor(scale, dtype=x.dtype, device=x.device)

    def for_head(self, x: Tensor) -> Tensor:
        """The residual stream behind a block -> what the head reads there, (…, C)."""
        x = self.final_norm(x)
        return x if self.config.logit_scale == 1.0 else x * self.config.logit_scale

    def keep_rope(self, prefix: str, cosines: Tensor, sines: Tensor) -> None:
        self.register_buffer(f"{prefix}cosines", cosines, persistent=False)
        self.register_buffer(f"{prefix}sines", sines, persistent=False)

    def ropes(self, positions: slice | Tensor) -> dict[str, Rope]:
        """By the kind of layer, the cosines and sines of those positions, (T or B, T; 1, R/2) each."""

        def at(cosines: Tensor, sines: Tensor) -> Rope:
            return cosines[positions].unsqueeze(-2), sines[positions].unsqueeze(-2)  # the same for all heads

        everywhere = at(self.cosines, self.sines)
        local = at(self.local_cosines, self.local_sines) if self.config.local_base else everywhere
        return {GLOBAL: everywhere, LOCAL: local}

    def set_dropout(self, share: float) -> None:
        """The share of activations that training sets to zero, whatever the model was built with."""
        self.config = self.config.with_(dropout=share)
        self.dropout.p = share if self.config.drops_embedding else 0.0
        for block in self.modules():
            if isinstance(block, Block):
                block.set_dropout(self.config)

    def shrink_branches(self) -> None:
        """2 n_layer branches add to the residual stream; each starts smaller, so that the sum does not grow."""
        for name, weight in self.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.down.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * self.config.n_layer) ** 0.5)


def initialise(module: nn.Module) -> None:
    """Weights from a normal distribution of standard deviation 0.02, biases zero (GPT-2, and the lecture)."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def build(config: ModelConfig) -> CausalLM:
    """The model of that config, freshly initialised from torch's random state."""
    if isinstance(config, BigramConfig):
        return Bigram(config)
    assert isinstance(config, GPTConfig)
    return GPT(config)
