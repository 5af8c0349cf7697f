"""Functions that a model may call: offered to its chat template, and recognised in what it writes.

A template says how its model writes a call; what is recognised here is between `<tool_call>` and `</tool_call>`
(Qwen, Hermes, SmolLM3), after `[TOOL_CALLS]` (Mistral), and an answer that is one JSON object (Llama 3).
Each is JSON: {"name": …, "arguments": {…}}, or "parameters".
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homespun.generation.stopping import beginning_at_the_end
from homespun.server.asked import of_schema
from homespun.server.errors import ApiError

if TYPE_CHECKING:
    from homespun.generation.constraint import Constraint
    from homespun.server.served import Served

OPEN, CLOSE, LIST = "<tool_call>", "</tool_call>", "[TOOL_CALLS]"


@dataclass(frozen=True)
class Call:
    """A function that the model calls; arguments are JSON."""

    name: str
    arguments: str
    id: str

    def as_chat(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True)
class Offer:
    """The functions that a request offers. forced: the model is held to calling one. single: to one alone."""

    tools: Sequence[Mapping[str, Any]]
    forced: Sequence[str] = ()
    single: bool = False

    def names(self) -> set[str]:
        return {tool["function"]["name"] for tool in self.tools}


def offer_of(
    served: Served, tools: Sequence[Mapping[str, Any]] | None, choice: Any, parallel: bool | None
) -> Offer | None:
    """None where none is offered. ApiError where the model's template has no place for tools."""
    if not tools or choice == "none":
        if choice == "required" or isinstance(choice, dict):
            raise ApiError(
                "tool_choice asks for a call, and there are no tools.", "Send tools.", param="tool_choice"
            )
        return None
    assert served.chat is not None
    if not re.search(r"\btools\b", served.chat.template.source):
        raise ApiError(
            "The chat template of this model has no place for tools: it would never see them.",
            "Leave tools out, or serve a model that was trained to call functions.",
            param="tools",
            code="tools_unsupported",
        )
    names = [tool["function"]["name"] for tool in tools]
    forced: list[str] = []
    if choice == "required":
        forced = names
    elif isinstance(choice, dict):
        named = choice.get("function", choice)
        name = named.get("name") if isinstance(named, dict) else None
        if name not in names:
            raise ApiError(
                f"tool_choice names the function {str(name)[:100]!r}, which is not among tools.",
                f"There are: {', '.join(names)}.",
                param="tool_choice",
            )
        forced = [str(name)]
    return Offer(tools, forced, single=parallel is False or bool(forced))


def schema_of_calls(offer: Offer) -> dict[str, Any]:
    """The JSON schema of a call of one of the functions that are forced."""
    options = []
    for tool in offer.tools:
        function = tool["function"]
        if function["name"] in offer.forced:
            parameters = function.get("parameters") or {"type": "object"}
            properties = {"name": {"const": function["name"]}, "arguments": parameters}
            options.append(
                {
                    "type": "object",
                    "properties": properties,
                    "required": ["name", "arguments"],
                    "additionalProperties": False,
                }
            )
    return options[0] if len(options) == 1 else {"anyOf": options}


def constraint_of(served: Served, offer: Offer) -> Constraint:
    """What holds the model to a call of one that is forced."""
    return of_schema(served, schema_of_calls(offer), "tools")


class Calls:
    """Separates calls from the text around them, while it streams. Text that cannot become a call is let through.

    >>> calls = Calls(Offer([{"type": "function", "function": {"name": "add"}}]))
    >>> calls.push("Let me see. <tool")
    ('Let me see. ', [])
    >>> text, found = calls.push('_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    >>> text, found[0].name, found[0].arguments
    ('', 'add', '{"a": 1}')
    """

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.held = ""
        self.count = 0
        self.is_inside = False  # of a call
        self.has_text = False

    def push(self, piece: str) -> tuple[str, list[Call]]:
        """Text that may be shown, and calls that are complete."""
        self.held += piece
        shown = ""
        found: list[Call] = []
        while True:
            if self.is_inside:
                inside, closed, rest = self.held.partition(CLOSE)
                if not closed:
                    return shown, found
                calls = self.calls_in(inside)
                if calls is None:  # it is no call: whoever asked shall see what it is
                    shown += self.shown(OPEN + inside + CLOSE)
                found += calls or []
                self.held, self.is_inside = rest.lstrip("\n"), False
                continue
            before, opened, rest = self.held.partition(OPEN)
            if opened:
                shown += self.shown(before)
                self.held, self.is_inside = rest, True
                continue
            if not self.has_text and (LIST in self.held or self.held.lstrip()[:1] in ("{", "[")):
                return shown, found  # it may all be a call: known at the end
            hold = max(beginning_at_the_end(self.held, OPEN), beginning_at_the_end(self.held, LIST))
            shown += self.shown(self.held[: len(self.held) - hold])
            self.held = self.held[len(self.held) - hold :]
            return shown, found

    def take(self, piece: str, *, is_last: bool) -> tuple[str, list[Call]]:
        """`push`, and behind the last piece `flush`, too."""
        shown, found = self.push(piece)
        if not is_last:
            return shown, found
        rest, more = self.flush()
        return shown + rest, found + more

    def flush(self) -> tuple[str, list[Call]]:
        """At the end: what was held back, as calls where it is some, else as text."""
        held, self.held = self.held, ""
        if self.is_inside:
            found = self.calls_in(held)
            return (OPEN + held, []) if found is None else ("", found)
        before, listed, rest = held.partition(LIST)
        found = self.calls_in(rest if listed else held)
        return (held, []) if found is None else (before if listed else "", found)

    def shown(self, text: str) -> str:
        if self.count and not text.strip():
            return ""  # between two calls
        self.has_text = self.has_text or bool(text.strip())
        return text

    def calls_in(self, text: str) -> list[Call] | None:
        """The calls that this text is; None where it is something else, or names a function that is not there."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = []
        for one in said if isinstance(said, list) else [said]:
            name = one.get("name") if isinstance(one, dict) else None
            arguments = one.get("arguments", one.get("parameters", {})) if isinstance(one, dict) else {}
            if not isinstance(name, str) or name not in self.offer.names():
                return None
            as_text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            found.append(Call(name, as_text, f"call_{uuid.uuid4().hex[:24]}"))
        if self.offer.single:
            found = found[: max(1 - self.count, 0)]
        self.count += len(found)
        return found
