"""A few lines of the model as it is: the plain way, for it has layers that the engine does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

from homespun.evaluation.mode import evaluation_mode
from homespun.model.cache import KVCache
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

TEMPERATURE = 0.8


def write(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    *,
    tokens: int,
    seed: int,
    temperature: float = TEMPERATURE,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> str:
    """What follows the prompt, at most `tokens` of them; ends where the text does. The dice are its own."""
    room = model.config.context_length - tokens
    ids = list(prompt)[-room:] if room > 0 else list(prompt)[-1:]
    tokens = min(tokens, model.config.context_length - len(ids))
    dice = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    cache = KVCache(model.config, length=len(ids) + tokens, device=device) if isinstance(model, GPT) else None
    written: list[int] = []
    new = ids
    with evaluation_mode(model), torch.no_grad(), autocast():
        while len(written) < tokens:
            given = torch.tensor([new], device=device)
            logits, _ = model(given, cache=cache) if cache is not None else model(given)
            chances = (logits[0, -1].float().cpu() / temperature).softmax(dim=-1)
            new = [int(torch.multinomial(chances, 1, generator=dice))]
            if new[0] == tokenizer.end_of_text or new[0] >= tokenizer.vocab_size:
                break
            written += new
    return tokenizer.decode(written)
