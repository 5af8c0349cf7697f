"""Which parameter of OpenAI's does what here: one table. docs/serve.md is written from it, and a test holds it to
the `openai` package's own types:  python -m homespun.server.reference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homespun.server.errors import ApiError

COMPLETIONS, CHAT, RESPONSES, EMBEDDINGS = "completions", "chat", "responses", "embeddings"
WRITING = (COMPLETIONS, CHAT, RESPONSES)

DONE, HARMLESS, REFUSED = "done", "accepted, without effect", "refused"


@dataclass(frozen=True)
class Field:
    """
    name    of the parameter
    where   the endpoints that have it
    status  DONE, HARMLESS or REFUSED
    about   what it does, or why it is refused
    ours    it is not among OpenAI's: vLLM's, llama.cpp's or homespun's own
    """

    name: str
    where: tuple[str, ...]
    status: str
    about: str
    ours: bool = False


def done(name: str, where: tuple[str, ...], about: str, *, ours: bool = False) -> Field:
    return Field(name, where, DONE, about, ours)


def harmless(where: tuple[str, ...], about: str, *names: str) -> list[Field]:
    return [Field(name, where, HARMLESS, about) for name in names]


def refused(where: tuple[str, ...], about: str, *names: str, ours: bool = False) -> list[Field]:
    return [Field(name, where, REFUSED, about, ours) for name in names]


COMMON = (COMPLETIONS, CHAT)
ABOUT_ACCOUNTS = "It concerns accounts, billing or caches of a hosted service."

FIELDS: tuple[Field, ...] = (
    done("model", (*WRITING, EMBEDDINGS), "A name that GET /v1/models lists; without one, the first of them."),
    done("prompt", (COMPLETIONS,), "A string, a list of strings, ids, or a list of lists of ids."),
    done(
        "messages",
        (CHAT,),
        "Roles system, developer (the same), user, assistant, tool; a last assistant message "
        "is continued. Content is a string, null beside tool_calls, or a list of text parts.",
    ),
    done(
        "input",
        (RESPONSES, EMBEDDINGS),
        "Responses: a string, or a list of messages, function calls and their outputs. Embeddings: as prompt.",
    ),
    done("instructions", (RESPONSES,), "The system text."),
    done(
        "max_tokens",
        COMMON,
        "The most tokens that are written. Default: 200 for completions, for chat as many as "
        "the context has room for. Beyond the context see `truncation`.",
    ),
    done("max_completion_tokens", (CHAT,), "As max_tokens; of the two the smaller counts."),
    done("max_output_tokens", (RESPONSES,), "As max_tokens."),
    done(
        "temperature",
        WRITING,
        "0 takes the likeliest token. Default: what the model's generation_config.json states, else 0.8.",
    ),
    done("top_p", WRITING, "Nucleus sampling."),
    done("frequency_penalty", COMMON, "OpenAI's formula, over the tokens that were written."),
    done("presence_penalty", COMMON, "OpenAI's formula, over the tokens that were written."),
    done(
        "seed",
        COMMON,
        "The same seed gives the same text while `system_fingerprint` is the same, streamed or not, "
        "alone or beside others. Without one a seed is drawn; the header x-homespun-seed has it. The n-th choice "
        "has the n-th seed from it on.",
    ),
    done("stop", COMMON, "A string or up to 32; none of them is part of the text."),
    done("n", COMMON, "1 to --most-n."),
    done("stream", WRITING, "Server-sent events."),
    done("stream_options", COMMON, "include_usage: a last chunk with the usage."),
    done(
        "logprobs",
        COMMON,
        "Completions: how many alternatives each token is shown with, in the legacy shape. Chat: "
        "true or false. By the model itself, before any sampling parameter; streamed or not.",
    ),
    done("top_logprobs", (CHAT, RESPONSES), "0 to 20 alternatives."),
    done("include", (RESPONSES,), "message.output_text.logprobs; others ask for what no model here has."),
    done(
        "echo",
        (COMPLETIONS,),
        "The prompt before the text; with logprobs, its log-probabilities, too, the first "
        "of which is null. max_tokens may be 0 then.",
    ),
    done("logit_bias", COMMON, "id: -100 to 100, added to the logit; -100 forbids the token."),
    done(
        "response_format",
        (CHAT, COMPLETIONS),
        "text, json_object, json_schema. The text conforms, or the request is refused.",
    ),
    done("text", (RESPONSES,), "format: text, json_object, json_schema."),
    done(
        "tools", (CHAT, RESPONSES), "Where the model's chat template has tools; otherwise refused, unless empty."
    ),
    done(
        "tool_choice",
        (CHAT, RESPONSES),
        "none, auto, required or a function: the last two hold the model to JSON that calls one.",
    ),
    done("parallel_tool_calls", (CHAT, RESPONSES), "false: no call after the first."),
    done(
        "truncation",
        (RESPONSES, COMPLETIONS, CHAT),
        "disabled: a prompt that does not fit is refused with both "
        "numbers, and a text ends where the context does. auto: the model sees the end of the prompt "
        "(usage.prompt_tokens_details.seen says how much), and writes on beyond its context.",
    ),
    done("dimensions", (EMBEDDINGS,), "Only the model's own width."),
    done("encoding_format", (EMBEDDINGS,), "float or base64."),
    # ---- vLLM's and llama.cpp's, through extra_body ----
    done("top_k", WRITING, "The k likeliest tokens; -1 and 0 are off.", ours=True),
    done("min_p", WRITING, "Tokens at least so likely beside the likeliest one.", ours=True),
    done(
        "repetition_penalty",
        WRITING,
        "Above 1, tokens that are in the text or the prompt become less likely.",
        ours=True,
    ),
    done("repeat_penalty", WRITING, "llama.cpp's name of repetition_penalty.", ours=True),
    done("stop_token_ids", WRITING, "Ids that end the text.", ours=True),
    done("ignore_eos", WRITING, "No end of text is chosen: texts of a fixed length.", ours=True),
    done("min_tokens", WRITING, "No end of text and no stop_token_ids before so many tokens.", ours=True),
    done("structured_outputs", WRITING, '{"regex": …}, {"json": schema} or {"choice": [strings]}.', ours=True),
    # ---- without effect ----
    *harmless(WRITING, "Who asks does not matter here.", "user", "safety_identifier", "metadata"),
    *harmless((EMBEDDINGS,), "Who asks does not matter here.", "user"),
    *harmless(
        (CHAT, RESPONSES),
        ABOUT_ACCOUNTS,
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "access_programs",
    ),
    *harmless((CHAT, RESPONSES), "Nothing is kept; the answer says store: false.", "store"),
    *harmless((CHAT,), "The models here do not vary their effort.", "reasoning_effort", "verbosity"),
    *harmless((RESPONSES,), "The models here do not vary their effort.", "reasoning"),
    *harmless((RESPONSES,), "Streams are as they are.", "stream_options"),
    # ---- refused ----
    *refused((COMPLETIONS,), "A homespun model writes from left to right.", "suffix"),
    *refused((COMPLETIONS,), "Ask for n texts with logprobs and take the best one.", "best_of"),
    *refused((CHAT,), "The models here read and write text.", "modalities", "audio"),
    *refused((RESPONSES,), "The models here read and write text.", "image"),
    *refused((CHAT,), "No answer is predicted from another one.", "prediction"),
    *refused((CHAT,), "The server fetches nothing from the web.", "web_search_options"),
    *refused((CHAT,), "Their successors are tools and tool_choice.", "functions", "function_call"),
    *refused((CHAT, RESPONSES), "No moderation model is here.", "moderation"),
    *refused(
        (RESPONSES,),
        "Nothing is kept between requests: send the whole conversation as input.",
        "previous_response_id",
        "conversation",
        "background",
        "background_options",
        "prompt",
        "context_management",
    ),
    *refused((RESPONSES,), "The server calls no tools by itself.", "max_tool_calls"),
    *refused(
        WRITING,
        "A template is the model's own, never a request's.",
        "chat_template",
        "chat_template_kwargs",
        ours=True,
    ),
)

# What says "nothing of the kind" where a client sends a refused field all the same.
NOTHING: tuple[Any, ...] = (None, False, "", [], {}, "disabled")
NOTHING_OF: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "modalities": (["text"],),
    "function_call": ("none", "auto"),
}


def of(endpoint: str) -> dict[str, Field]:
    """The fields of an endpoint by name."""
    return {field.name: field for field in FIELDS if endpoint in field.where}


def unknown_in(endpoint: str, extra: Mapping[str, Any]) -> list[str]:
    """Names among `extra`, what a request has besides the fields that are done, that nobody here knows.

    Raises ApiError for a refused field, unless its value says that nothing is asked for.
    """
    known, unknown = of(endpoint), []
    for name, value in extra.items():
        field = known.get(name)
        if field is None:
            unknown.append(name)
        elif field.status == REFUSED and value not in (*NOTHING, *NOTHING_OF.get(name, ())):
            raise ApiError(f"{name} is not done here. {field.about}", param=name, code="unsupported_parameter")
    return unknown
