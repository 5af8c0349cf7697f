"""From what a client asks for to the engine's requests: prompt, length, sampling, ends, constraint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from homespun.generation.request import Request
from homespun.generation.settings import LARGEST_SEED, Sampling, random_seed
from homespun.generation.text import first_id
from homespun.server.errors import ApiError, about
from homespun.server.requests import StructuredOutputs, TextParameters
from homespun.server.served import TEMPERATURE, Served

if TYPE_CHECKING:
    from homespun.generation.constraint import Constraint

FORBIDDEN = -100.0  # a logit_bias that forbids a token, as OpenAI says
LARGEST_GRAMMAR = 200_000  # characters of a schema
DEFAULT_TOKENS = 200  # of a completion: OpenAI's 16 are two or three words of a model of characters


@dataclass(frozen=True)
class Prompt:
    """
    ids     what the model reads
    text    as it is shown with echo
    unseen  how many of the ids the tokenizer put before the text
    seen    how many of them the model sees: fewer than there are only where that was asked for
    """

    ids: list[int]
    text: str
    unseen: int = 0
    seen: int = 0


@dataclass(frozen=True)
class Asked:
    """The texts that a request asks for: n for each prompt, in the order of their indices."""

    prompts: list[Prompt]
    requests: list[Request]
    n: int
    stop: list[str]
    seed: int
    headers: dict[str, str] = field(default_factory=dict)

    def prompt_of(self, index: int) -> Prompt:
        return self.prompts[index // self.n]


def prompts_of(served: Served, prompt: Any, *, slides: bool, param: str = "prompt") -> list[Prompt]:
    """The four shapes of a prompt. ApiError for one that does not fit, unless `slides`."""
    if prompt is None:
        prompt = ""
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        return [one_prompt(served, prompt, param, slides=slides)]
    if not prompt:
        raise ApiError(
            f"{param} is an empty list.", "Give a string, or a list with at least one prompt.", param=param
        )
    return [one_prompt(served, one, f"{param}.{place}", slides=slides) for place, one in enumerate(prompt)]


def one_prompt(served: Served, prompt: str | list[int], param: str, *, slides: bool) -> Prompt:
    with about(param):
        if isinstance(prompt, str):
            opening = list(served.tokenizer.opening)
            ids, text = [*opening, *served.tokenizer.encode(prompt)], prompt
            unseen = len(opening)
            if not ids:
                ids, unseen = [first_id(served.tokenizer)], 1
        else:
            if not prompt:
                raise ApiError("The prompt has no ids.", "Give at least one.", param=param)
            ids, text, unseen = check_ids(served, prompt, param), served.tokenizer.decode(prompt), 0
    return fitted(served, ids, text, unseen, param, slides=slides)


def check_ids(served: Served, ids: list[int], param: str) -> list[int]:
    strange = next((id for id in ids if id >= served.vocab_size), None)
    if strange is not None:
        raise ApiError(
            f"There is no token {strange}: this model's ids are 0 to {served.vocab_size - 1:,}.",
            "POST /tokenize gives the ids of a text.",
            param=param,
        )
    return ids


def fitted(served: Served, ids: list[int], text: str, unseen: int, param: str, *, slides: bool) -> Prompt:
    """ApiError context_length_exceeded for a prompt that the model cannot see whole, unless that is asked for."""
    length = served.context_length
    if len(ids) > length and not slides:
        raise ApiError(
            f"The prompt has {len(ids):,} tokens; the context of this model has {length:,}.",
            'Shorten it, or send "truncation": "auto": then the model sees the end of it, and the answer says how '
            "much that is.",
            param=param,
            code="context_length_exceeded",
        )
    return Prompt(ids, text, unseen, min(len(ids), length))


def asked_for(
    served: Served,
    body: TextParameters,
    prompts: list[Prompt],
    *,
    most_tokens: int,
    n: int = 1,
    slides: bool,
    alternatives: int | None = None,
    prompt_alternatives: int | None = None,
    constraint: Constraint | None = None,
    stop_ids: Sequence[int] | None = None,
) -> Asked:
    """The engine's requests. most_tokens: of each text, of which there is less where the context ends before."""
    seed = seed_of(body)
    sampling = sampling_of(served, body, seed)
    ends = list(served.tokenizer.ends if stop_ids is None else stop_ids)
    bias = bias_of(served, getattr(body, "logit_bias", None))
    if body.ignore_eos:  # not chosen at all: a text has no tokens that are none
        bias |= dict.fromkeys(ends, float("-inf"))
    requests = []
    for prompt in prompts:
        room = served.context_length - prompt.seen + 1
        request = Request(
            prompt.ids,
            max_tokens=most_tokens if slides else min(most_tokens, room),
            sampling=sampling,
            stop_ids=frozenset([*ends, *(body.stop_token_ids or ())]),
            below=served.vocab_size,
            logit_bias=bias,
            alternatives=alternatives,
            prompt_alternatives=prompt_alternatives,
            constraint=constraint,
            min_tokens=body.min_tokens or 0,
            adapter=served.adapter,
        )
        requests += [request.with_(sampling=sampling.sample(number)) for number in range(n)]
    stop = getattr(body, "stop", None)
    return Asked(
        prompts,
        requests,
        n,
        [stop] if isinstance(stop, str) else list(stop or ()),
        seed,
        {"x-homespun-seed": str(seed)},
    )


def seed_of(body: TextParameters) -> int:
    """What was asked for, or one that nobody chose. A negative one counts from the other end."""
    seed = getattr(body, "seed", None)
    return random_seed() if seed is None else seed % (LARGEST_SEED + 1)


def sampling_of(served: Served, body: TextParameters, seed: int) -> Sampling:
    """What the request says, then the model's folder, then homespun."""
    said: dict[str, Any] = {"temperature": TEMPERATURE, **served.defaults}
    if body.repeat_penalty is not None:
        said["repetition_penalty"] = body.repeat_penalty
    names = (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
    )
    for name in names:
        value = getattr(body, name, None)
        if value is not None:
            said[name] = value
    if said.get("top_k") in (0, -1):
        said["top_k"] = None
    if said.get("top_p") == 0:
        said["top_p"] = 1e-9  # the likeliest token always stays
    return Sampling(**said, seed=seed)


def bias_of(served: Served, said: Mapping[str, float] | None) -> dict[int, float]:
    bias = {}
    for name, value in (said or {}).items():
        if not name.isascii() or not name.isdigit():
            raise ApiError(
                f"logit_bias names the token {name!r}; tokens are named by their ids.",
                "POST /tokenize gives the ids of a text.",
                param="logit_bias",
            )
        check_ids(served, [int(name)], "logit_bias")
        bias[int(name)] = float("-inf") if value <= FORBIDDEN else value
    return bias


# ---- what a text may be ----


def constraint_of(served: Served, body: TextParameters) -> Constraint | None:
    """Of response_format or structured_outputs. ApiError where both are given, or they cannot be held."""
    said = getattr(body, "response_format", None)
    found = None if said is None else of_format(served, said, "response_format")
    if body.structured_outputs is None:
        return found
    if found is not None:
        raise ApiError(
            "response_format and structured_outputs both say what the text may be.",
            "Give one of them.",
            param="structured_outputs",
        )
    return of_structured_outputs(served, body.structured_outputs)


def of_format(served: Served, said: Mapping[str, Any], param: str) -> Constraint | None:
    """{"type": "text" | "json_object" | "json_schema", …}, also in the shape of /v1/responses."""
    kind = said.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return of_schema(served, {"type": "object"}, param)
    if kind != "json_schema":
        raise ApiError(
            f"{param}.type is {shown(kind)}.", "It is text, json_object or json_schema.", param=f"{param}.type"
        )
    inner = said.get("json_schema", said)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if not isinstance(schema, Mapping):
        raise ApiError(
            f"{param} has no schema that is an object.",
            'It is written {"type": "json_schema", "json_schema": {"name": …, "schema": {…}}}.',
            param=f"{param}.json_schema",
        )
    return of_schema(served, schema, param)


def of_structured_outputs(served: Served, said: StructuredOutputs) -> Constraint:
    from homespun.generation.constraint import pattern

    given = [
        name
        for name, value in (("regex", said.regex), ("json", said.json_), ("choice", said.choice))
        if value is not None
    ]
    param = "structured_outputs"
    if len(given) != 1:
        raise ApiError(f"structured_outputs has {len(given)} of regex, json and choice.", "Give one.", param=param)
    with about(f"{param}.{given[0]}"):
        if said.regex is not None:
            return writable(pattern(said.regex, served.tokenizer), served, param)
        if said.choice is not None:
            return of_choice(served, said.choice, param)
        schema = said.json_
        if isinstance(schema, str):
            schema = parsed(schema, param)
        return of_schema(served, schema, param)


def of_choice(served: Served, choices: list[str], param: str) -> Constraint:
    """One of these strings."""
    import re

    from homespun.generation.constraint import pattern

    return writable(pattern("|".join(re.escape(choice) for choice in choices), served.tokenizer), served, param)


def parsed(text: str, param: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"The schema is no JSON: {error}.", "A schema is a JSON object.", param=param) from None


def of_schema(served: Served, schema: Any, param: str) -> Constraint:
    from homespun.generation.constraint import json_schema

    if not isinstance(schema, Mapping):
        raise ApiError(f"The schema is {shown(schema)}.", "A schema is a JSON object.", param=param)
    if len(json.dumps(schema)) > LARGEST_GRAMMAR:
        raise ApiError(
            f"The schema has more than {LARGEST_GRAMMAR:,} characters.", "Take a simpler one.", param=param
        )
    with about(param):
        return writable(json_schema(dict(schema), served.tokenizer, one_line=True), served, param)


def writable(constraint: Constraint, served: Served, param: str) -> Constraint:
    """The constraint, where the model has the characters to begin such a text."""
    with about(param):
        constraint.begin(served.vocab_size).mask()
    return constraint


def shown(value: Any) -> str:
    """A value from outside, short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


def usage_of(prompts: list[Prompt], written: int) -> dict[str, Any]:
    """OpenAI's usage; where the model saw less than was sent, `seen` says how much."""
    sent, seen = sum(len(prompt.ids) for prompt in prompts), sum(prompt.seen for prompt in prompts)
    usage: dict[str, Any] = {
        "prompt_tokens": sent,
        "completion_tokens": written,
        "total_tokens": sent + written,
    }
    if seen < sent:
        usage["prompt_tokens_details"] = {"seen": seen}
    return usage
