"""The GPT: tokens become vectors, blocks work on them, and a head says what comes next."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.model.attention import sees
from homespun.model.bigram import Bigram
from homespun.model.block import Block
from homespun.model.cache import KVCache
from homespun.model.causal_lm import CausalLM
from homespun.model.config import BigramConfig, GPTConfig, ModelConfig
from homespun.model.norm import make_norm
from homespun.model.rotary import rotation


class GPT(CausalLM):
    """A decoder-only transformer, of the family that its config says."""

    config: GPTConfig
    cosines: Tensor  # (context_length, D/2), only where positions are rotary
    sines: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = (
            nn.Embedding(config.context_length, config.n_embd) if config.position == "learned" else None
        )
        self.dropout = nn.Dropout(config.dropout if config.drops_embedding else 0.0)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = make_norm(config)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=config.head_bias)
        if config.tied_head:
            self.head.weight = self.token_embedding.weight
        if config.position == "rotary":
            cosines, sines = rotation(config.context_length, config.head_width, config.rotary_base)
            self.register_buffer("cosines", cosines, persistent=False)
            self.register_buffer("sines", sines, persistent=False)
        self.apply(initialise)
        if config.shrinks_branches:
            self.shrink_branches()

    def forward(
        self,
        ids: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
        *,
        documents: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """ids (B, T), targets (B, T) or None -> logits (B, T, V), mean loss in nats or None.

        A target of -1 is not counted. With a cache the ids continue the text that is in it.
        documents, positions: as `features` takes them.
        Raises ModelError where the text is longer than context_length.
        """
        logits = self.head(self.features(ids, cache, documents=documents, positions=positions))  # (B, T, V)
        if targets is None:
            return logits, None
        # In float32 even under autocast: a loss rounded to bfloat16 shows no progress.
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        return logits, loss

    def features(
        self,
        ids: Tensor,
        cache: KVCache | None = None,
        *,
        documents: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T) -> what the head sees of them, (B, T, C).

        documents (B, T): the number of the document that a token is of, where a row holds several, one behind
        the other. Then no token looks beyond its own document, and positions begin anew in each; positions
        (B, T) says them where that has been counted already.
        """
        assert cache is None or documents is None, "a cache holds one document a row"
        start = 0 if cache is None else cache.length
        end = start + ids.size(1)  # positions start … end - 1
        if end > self.config.context_length:
            raise ModelError(
                f"{end} tokens are more than the context_length of {self.config.context_length}.",
                "Give the model the last tokens of the text only.",
            )
        where: slice | Tensor = slice(start, end)
        mask = None
        if documents is not None:
            where = positions_in(documents) if positions is None else positions  # (B, T)
            mask = sees_its_own(documents)  # (B, 1, T, T)
        x = self.token_embedding(ids)  # (B, T, C)
        angles = None
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[where]  # (B, T, C) + (T, C) or (B, T, C)
        else:
            angles = self.cosines[where].unsqueeze(-2), self.sines[where].unsqueeze(-2)  # (T or B, T; 1, D/2)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, angles, cache, mask)  # (B, T, C)
        if cache is not None:
            cache.advance(ids.size(1))
        return self.final_norm(x)

    def shrink_branches(self) -> None:
        """2 n_layer branches are added up on the way; each starts smaller, so that the sum does not grow."""
        for name, weight in self.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.down.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * self.config.n_layer) ** 0.5)


def initialise(module: nn.Module) -> None:
    """Weights from a normal distribution of standard deviation 0.02, biases zero (GPT-2, and the lecture)."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def positions_in(documents: Tensor) -> Tensor:
    """Where each token stands in its document: (B, T) -> (B, T).

    >>> positions_in(torch.tensor([[0, 0, 0, 1, 1, 2]])).tolist()
    [[0, 1, 2, 0, 1, 0]]
    """
    places = torch.arange(documents.size(1), device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(dim=1).values


def sees_its_own(documents: Tensor) -> Tensor:
    """Who may look at whom where rows hold several documents: documents (B, T) -> (B, 1, T, T) booleans."""
    own = documents[:, :, None] == documents[:, None, :]  # (B, T, T)
    return (own & sees(documents.size(1), documents.size(1), documents.device)).unsqueeze(1)


def build(config: ModelConfig) -> CausalLM:
    """The model of that config, freshly initialised from torch's random state."""
    if isinstance(config, BigramConfig):
        return Bigram(config)
    assert isinstance(config, GPTConfig)
    return GPT(config)
