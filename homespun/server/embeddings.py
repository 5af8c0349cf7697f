"""POST /v1/embeddings: the mean of the last hidden states, of length 1.

No model here was trained for it: texts of like wording are near each other, and that is all.
"""

from __future__ import annotations

import base64
import struct
from functools import partial
from typing import Any

import torch
from starlette.responses import Response
from torch import Tensor
from torch.nn import functional as F

from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode
from homespun.server import fields
from homespun.server.answering import Server
from homespun.server.asked import Prompt, prompts_of
from homespun.server.errors import ApiError, Json
from homespun.server.limited import within
from homespun.server.requests import EmbeddingRequest
from homespun.server.served import Served


async def answer(server: Server, body: EmbeddingRequest) -> Response:
    headers = server.checked_fields(fields.EMBEDDINGS, body)
    served = await server.models.get(body.model)
    model = served.engine.model
    if not isinstance(model, GPT) or served.adapter is not None:
        raise ApiError(
            "This model has no hidden states that an embedding could be made of.",
            "Ask a GPT without an adapter.",
            param="model",
        )
    width = model.config.n_embd
    if body.dimensions not in (None, width):
        raise ApiError(
            f"dimensions is {body.dimensions}; this model's are {width}.",
            "Leave it out: shortened embeddings are for models that were trained for them.",
            param="dimensions",
        )
    prompts = await within(
        lambda: prompts_of(served, body.input, slides=False, param="input"), what="Reading the input"
    )
    found = []
    for prompt in prompts:  # one after the other: between two of them, texts go on
        found.append(await server.engines.call(partial(embedding, served, prompt)))
    tokens = sum(len(prompt.ids) for prompt in prompts)
    server.metrics.began(tokens)
    data = [
        {"object": "embedding", "index": index, "embedding": shaped(vector, body.encoding_format)}
        for index, vector in enumerate(found)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    content = {"object": "list", "data": data, "model": body.model or served.id, "usage": usage}
    return Json(content, headers=headers)


@torch.inference_mode()
def embedding(served: Served, prompt: Prompt) -> Tensor:
    """(C) float32 of length 1."""
    model = served.engine.model
    assert isinstance(model, GPT)
    with evaluation_mode(model):
        states = model.features(torch.tensor([prompt.ids], device=model.device))[0]  # (T, C)
    return F.normalize(states.float().mean(dim=0), dim=0).cpu()


def shaped(vector: Tensor, encoding: str | None) -> Any:
    numbers: list[float] = vector.tolist()
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers
