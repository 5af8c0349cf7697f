"""Render a conversation to the ids that a chat model was trained on.

Each model defines its own format, by a Jinja template in tokenizer_config.json or chat_template.jinja. It is
rendered here as in `transformers`: with the same settings of Jinja and the same helper functions. Like every file
of a model it is untrusted: it runs in Jinja's sandbox, and the sizes of the template and its output are limited.
Needs `pip install "homespun[chat]"`.

>>> from homespun.tokenizer.chat_template import ChatTemplate
>>> template = ChatTemplate("{% for m in messages %}[{{ m.role }}] {{ m.content }}\\n{% endfor %}")
>>> template.render([{"role": "user", "content": "Good day."}])
'[user] Good day.\\n'
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from homespun.errors import MissingExtra, TokenizerError, UsageError

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Backend

    from homespun.tokenizer.tokenizer import Tokenizer

Message = Mapping[str, Any]  # role and content, and other fields that a template may use

LONGEST_TEMPLATE = 2**17  # characters; long templates in use have 20,000
LONGEST_TEXT = 2**24
# the largest number that a template may pass to a function, since text can be padded to that width
LARGEST_NUMBER = 10**6
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")

# A Unicode noncharacter, inserted between the characters of text that looks like a special token.
APART = "\ufdd0"
# Noncharacters around what {% generation %} marks, if that is requested.
ANSWER, ANSWERED = "\ufdd1", "\ufdd2"
PROBE = "homespun"  # an answer used to find what the template puts after one


LIKE_A_MARK = re.compile(r"<(?!0x[0-9A-F]{2}>)[^<>\s]+>|\[[A-Za-z_]+\]")  # and no byte of SentencePiece's
_NOT_CHARACTERS = re.compile(f"[{APART}{ANSWER}{ANSWERED}]")


class ChatTemplate:
    """A template, and its variables other than the conversation (bos_token, eos_token, …).

    Raises TokenizerError if it is not a valid template, MissingExtra if Jinja is not installed.
    """

    def __init__(self, source: str, names: Mapping[str, str] | None = None) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise TokenizerError(
                f"The chat template has {len(source):,} characters; homespun goes up to {LONGEST_TEMPLATE:,}.",
                "Take the template of the model that this one was made from.",
            )
        self.source = source
        self.names = dict(names or {})
        self.template = compiled(source)
        self.marks_answers = "endgeneration" in source

    def render(self, messages: Sequence[Message], *, answer: bool = False, **names: Any) -> str:
        """Return the conversation as text, with special tokens as text. answer: add the generation prompt.

        messages: {"role": "user", "content": "…"}, one after the other; roles are "system", "user" and
        "assistant". names: further variables for the template (tools, documents, enable_thinking, …).
        Raises TokenizerError if the template rejects this conversation, or its output is too long.
        """
        given = {"tools": None, "documents": None, **self.names, **names}
        return self._rendered(each_string(aliased(messages), str), answer, each_string(given, str))

    @cached_property
    def marking(self) -> Any:
        """The template, which also writes ANSWER and ANSWERED around what it marks with {% generation %}."""
        return compiled(self.source, mark_answers=True)

    def _rendered(self, messages: Any, answer: bool, names: Mapping[str, Any], *, marked: bool = False) -> str:
        template = self.marking if marked else self.template
        parts, length = [], 0
        with failures_explained():
            for part in template.generate(messages=messages, add_generation_prompt=answer, **names):
                parts.append(part)
                length += len(part)
                if length > LONGEST_TEXT:
                    raise ValueError(f"it makes more than {LONGEST_TEXT:,} characters of it")
        return "".join(parts)


class ChatTokenizer:
    """A tokenizer with its chat template: conversations to ids.

    Special tokens from the template become special; text in a message that looks like one stays text.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template

    def encode(self, messages: Sequence[Message], *, answer: bool = False, **names: Any) -> list[int]:
        """Return the ids of the conversation, equal to those of `apply_chat_template`. Raises TokenizerError."""
        text = self.written(self.kept_apart(aliased(messages)), answer=answer, **self.kept_apart(names))
        ids: list[int] = []
        for part in text.split(APART):
            # A part of one character was separated by APART, and may itself be the name of a token.
            ids += self.tokenizer.encode(part) if len(part) == 1 and APART in text else self._with_special(part)
        return ids

    def kept_apart(self, plain: Any) -> Any:
        """Return messages or other template variables, with APART inside text that looks like a special token.

        It stands between the characters of that text. Raises UsageError for anything but plain data.
        """
        return each_string(plain, self._as_text)

    def written(self, messages: Any, *, answer: bool = False, marked: bool = False, **names: Any) -> str:
        """Return the conversation as text. messages, names: as returned by `kept_apart`.

        marked: put ANSWER and ANSWERED around what the template marks with {% generation %}.
        """
        given = {"tools": None, "documents": None, **self.template.names, **names}
        return self.template._rendered(messages, answer, given, marked=marked)

    def encode_parts(self, parts: Sequence[str]) -> list[Encoding]:
        """Return the library's encoding of each part of a `written` text, divided at APART: ids and positions.

        Many parts at once, in parallel. Raises TokenizerError, UnknownCharacter.
        """
        with self._failures_told(parts):
            found: list[Encoding] = self._backend.encode_batch(list(parts), add_special_tokens=False)
        return found

    @cached_property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer: every end of text, and the special token that the template puts after it."""
        found = set(self.tokenizer.ends)
        asked: list[Message] = [{"role": "user", "content": PROBE}]
        answered = self.template.render([*asked, {"role": "assistant", "content": PROBE}])
        behind = self._with_special(answered.rpartition(PROBE)[2].strip())
        if behind and behind[0] in self.tokenizer.special_tokens.values():
            found.add(behind[0])
        return frozenset(found)

    def _as_text(self, text: str) -> str:
        text = _NOT_CHARACTERS.sub("", text)
        return self._special.sub(lambda token: APART + APART.join(token[0]) + APART, text)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        tokens = sorted(self.tokenizer.special_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, filter(None, tokens))) or "(?!)")

    def _with_special(self, text: str) -> list[int]:
        if not self._special.search(text):
            return self.tokenizer.encode(text)  # its errors explain what is wrong with the text
        with self._failures_told([text]):
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def _failures_told(self, texts: Sequence[str]) -> AbstractContextManager[None]:
        """Report a character without an id with the same error as in any other text."""
        from homespun.tokenizer.failure import failures_explained

        return failures_explained(
            lambda error: self.tokenizer._explain([self._special.sub("", text) for text in texts], error)
        )

    @cached_property
    def _backend(self) -> Backend:
        """A copy that parses special tokens in text. The tokenizer itself never does, by its first rule."""
        from tokenizers import Tokenizer as Backend

        copy = Backend.from_str(self.tokenizer.files()["tokenizer.json"])
        copy.encode_special_tokens = False
        return copy


def chat_tokenizer(tokenizer: Tokenizer) -> ChatTokenizer | None:
    """Return the tokenizer with its chat template; None if it has none, as a base model.

    If there are several templates, the one called "default" is used. Raises TokenizerError, MissingExtra.
    """
    source = template_of(getattr(tokenizer, "settings", {}).get("chat_template"))
    if source is None:
        return None
    names = {name: tokenizer.settings[name] for name in NAMED_TOKENS if name in tokenizer.settings}
    if tokenizer.end_of_text_token:
        names["eos_token"] = tokenizer.end_of_text_token
    template = ChatTemplate(source, names)
    if hasattr(tokenizer, "make_special"):
        tokenizer.make_special(ends_of_turn(tokenizer, template))
    return ChatTokenizer(tokenizer, template)


def ends_of_turn(tokenizer: Tokenizer, template: ChatTemplate) -> list[int]:
    """Return the id of the token that the template puts after an answer, where tokenizer.json has it as a token of
    its own and not as a special one. It is special: otherwise what a user types could end a turn.
    """
    plain = {
        id: content for content, id in tokenizer.ordinary_added_tokens.items() if LIKE_A_MARK.fullmatch(content)
    }
    if not plain:
        return []
    try:
        answered = template.render([{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}])
    except TokenizerError:
        return []
    behind = answered.rpartition(PROBE)[2].strip()
    return [id for id, content in plain.items() if behind.startswith(content)]


def template_of(said: Any) -> str | None:
    """
    >>> template_of([{"name": "tool_use", "template": "A"}, {"name": "default", "template": "B"}])
    'B'
    """
    if said is None or isinstance(said, str):
        return said
    named = said if isinstance(said, dict) else {}
    if isinstance(said, list) and all(isinstance(one, dict) for one in said):
        named = {str(one.get("name")): one.get("template") for one in said}
    if not isinstance(named.get("default"), str):
        raise TokenizerError(
            "chat_template of tokenizer_config.json is neither a template nor a list with one called 'default'.",
            "Take the file from where the model comes from.",
        )
    return str(named["default"])


REASONING = ("reasoning_content", "thinking", "reasoning")


def aliased(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the reasoning before an answer under both names that templates use for it."""
    both = []
    for message in messages:
        thought = next((message[name] for name in REASONING if message.get(name) is not None), None)
        both.append(message if thought is None else {"thinking": thought, **message, "reasoning_content": thought})
    return both


def each_string(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of plain data with its strings changed: a template gets no objects with methods of their own.

    >>> each_string({"role": "user", "content": ["a", 1]}, str.upper)
    {'role': 'USER', 'content': ['A', 1]}
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {str(name): each_string(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [each_string(item, change) for item in value]
    raise UsageError(
        f"A conversation has a {type(value).__name__} in it.",
        "Messages are made of strings, numbers, lists, dicts.",
    )


@contextmanager
def failures_explained() -> Iterator[None]:
    """Convert any failure of an untrusted template into TokenizerError."""
    try:
        yield
    except (TokenizerError, UsageError):
        raise
    except Exception as error:
        said = str(error) or type(error).__name__
        raise TokenizerError(
            f"The model's chat template cannot write this conversation down: {said[:300]}",
            "Many models want user and assistant in turn, and some know no system text.",
        ) from error


def compiled(source: str, *, mark_answers: bool = False) -> Any:
    """Return the template, ready to be rendered. Raises TokenizerError, MissingExtra."""
    environment = sandbox(*((ANSWER, ANSWERED) if mark_answers else ("", "")))
    try:
        return environment.from_string(source)
    # Jinja's errors, RecursionError, errors in constant expressions: all are errors of the file
    except Exception as error:
        raise TokenizerError(
            f"The model's chat template is none: {str(error)[:300] or type(error).__name__}",
            "Take chat_template from where the model comes from.",
        ) from error


def sandbox(before_answer: str = "", behind_answer: str = "") -> ImmutableSandboxedEnvironment:
    """Return Jinja as transformers configures it, with limits on the output of a template.

    before_answer, behind_answer: written around what is marked with {% generation %}.
    """
    try:
        import jinja2
        from jinja2 import ext, nodes
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MissingExtra("A conversation with this model", "chat") from None

    class Answer(ext.Extension):
        """{% generation %} … {% endgeneration %} marks an answer, for training on answers alone."""

        tags = {"generation"}  # noqa: RUF012  what Jinja asks for

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            before, behind = (nodes.Output([nodes.TemplateData(mark)]) for mark in (before_answer, behind_answer))
            return nodes.Scope([before, *inside, behind]).set_lineno(line)

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [abs(side) if isinstance(side, (int, float)) else len(side) for side in (left, right)]
            most = 64 if operator == "**" else LARGEST_NUMBER
            if sizes[1] > most or sizes[0] * sizes[1] > LARGEST_NUMBER:
                raise jinja2.exceptions.SecurityError(f"{sizes[0]:,} {operator} {sizes[1]:,} is too much")
            return super().call_binop(context, operator, left, right)

        # Jinja's own signature: a template may name an argument self
        def call(*arguments: Any, **named: Any) -> Any:
            for value in (*arguments[3:], *named.values()):
                if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
                    raise jinja2.exceptions.SecurityError(f"{value:,} is too much")
            return ImmutableSandboxedEnvironment.call(*arguments, **named)

    environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Answer, ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON; unlike Jinja's own filter, < is not written as \\u003c, which is for web pages."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
