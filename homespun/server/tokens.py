"""POST /tokenize, POST /detokenize, GET /tokenizer_info: as vLLM has them, and as lm-eval asks for them."""

from __future__ import annotations

from typing import Any

from homespun.server.asked import check_ids
from homespun.server.errors import about
from homespun.server.requests import DetokenizeRequest, TokenizeRequest
from homespun.server.served import Served


def tokenize(served: Served, body: TokenizeRequest) -> dict[str, Any]:
    """The ids of a text, in which no name of a special token counts. Such a name alone is that token: so lm-eval
    asks for the id of the eos_token that /tokenizer_info names."""
    tokenizer = served.tokenizer
    with about("prompt"):
        named = tokenizer.special_tokens.get(body.prompt)
        ids = [*(tokenizer.opening if body.add_special_tokens else ())]
        ids += tokenizer.encode(body.prompt) if named is None else [named]
        names = [tokenizer.token(id) for id in ids] if body.return_token_strs else None
    return {"tokens": ids, "count": len(ids), "max_model_len": served.context_length, "token_strs": names}


def detokenize(served: Served, body: DetokenizeRequest) -> dict[str, Any]:
    check_ids(served, body.tokens, "tokens")
    with about("tokens"):
        return {"prompt": served.tokenizer.decode(body.tokens)}


def info(served: Served) -> dict[str, Any]:
    """eos_token is what lm-eval wants to know: what a text with no context is predicted from."""
    tokenizer = served.tokenizer
    names = {id: token for token, id in tokenizer.special_tokens.items()}
    end = next((names[id] for id in tokenizer.ends if id in names), None)
    first = names.get(tokenizer.opening[0]) if tokenizer.opening else None
    return {
        "tokenizer_class": tokenizer.kind,
        "vocab_size": served.vocab_size,
        "eos_token": end,
        "eos_token_id": tokenizer.ends[0] if tokenizer.ends else None,
        "bos_token": first,
        "pad_token": end,
        "special_tokens": tokenizer.special_tokens,
        "chat_template": None if served.chat is None else served.chat.template.source,
        "model_max_length": served.context_length,
    }
