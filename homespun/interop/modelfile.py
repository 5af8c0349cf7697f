"""The Modelfile that Ollama makes a model from: which file, how a conversation is written, how to sample.

Ollama writes conversations with templates of Go, not of Jinja. What a chat template does is found by trying
it: where each turn is written alike, with the same words before and behind it, the Go template says just that,
and is held against the original on conversations of several shapes. Where it is more than that, the file leaves
it out, and Ollama looks whether it knows the template that is in the GGUF file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homespun.errors import HomespunError
from homespun.tokenizer.chat_template import ChatTemplate, chat_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")
# Ollama's names of the settings that it shares with us.
PARAMETERS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
    "max_tokens": "num_predict",
}
LONGEST_CONTEXT = 8192  # tokens: Ollama takes memory for all of them at once
ONLY_COMPLETES = "{{ .Prompt }}"
MARKED = "\N{WHITE SQUARE}said\N{WHITE SQUARE}"

Message = dict[str, str]


@dataclass(frozen=True)
class Form:
    """How a template writes a conversation, where it writes every turn alike.

    head      before everything
    unasked   what stands there for a system text where none was given
    before    role -> what stands before what was said; behind: role -> what stands behind it
    answer    what an answer of the model begins with
    """

    head: str
    unasked: str
    before: Mapping[str, str]
    behind: Mapping[str, str]
    answer: str

    def written(self, messages: Sequence[Message]) -> str:
        """The conversation up to where the model answers."""
        unasked = "" if messages[0]["role"] == "system" else self.unasked
        turns = (self.before[m["role"]] + m["content"] + self.behind[m["role"]] for m in messages)
        return "".join([self.head, unasked, *turns, self.answer])

    def in_go(self) -> str:
        roles = [role for role in ROLES if role in self.before]
        first, *others = (
            f'if eq .Role "{role}" }}}}{self.before[role]}{{{{ .Content }}}}{self.behind[role]}' for role in roles
        )
        turns = "".join([f"{{{{ {first}", *(f"{{{{ else {one}" for one in others), "{{ end }}"])
        unasked = f"{{{{ if not .System }}}}{self.unasked}{{{{ end }}}}" if self.unasked else ""
        return f"{self.head}{unasked}{{{{ range .Messages }}}}{turns}{{{{ end }}}}{self.answer}"


def modelfile(
    file: str, tokenizer: Tokenizer, sampling: Mapping[str, Any], context_length: int, license: str
) -> str:
    """The text of a Modelfile for that GGUF file, which lies beside it."""
    lines = [f"FROM ./{file}"]
    if not tokenizer.settings.get("chat_template"):
        lines.append(f'TEMPLATE """{ONLY_COMPLETES}"""')
    elif (form := form_of(tokenizer)) is not None:
        lines.append(f'TEMPLATE """{form.in_go()}"""')
    lines.append(f"PARAMETER num_ctx {min(context_length, LONGEST_CONTEXT)}")
    lines += [f"PARAMETER {PARAMETERS[name]} {value}" for name, value in sampling.items() if name in PARAMETERS]
    lines += [f'PARAMETER stop "{name}"' for name in ends_of_answers(tokenizer) if '"' not in name]
    if license and '"""' not in license:
        lines.append(f'LICENSE """{license}"""')
    return "\n".join(lines) + "\n"


def ends_of_answers(tokenizer: Tokenizer) -> list[str]:
    """The special tokens that end what a chat model says, and those of one that completes where it names several:
    the one is in the GGUF file. None where nobody can tell."""
    several = tokenizer.ends if len(tokenizer.ends) > 1 else ()
    try:
        chat = chat_tokenizer(tokenizer)
        ends = frozenset(several) if chat is None else chat.ends
    except HomespunError:
        return []
    return [name for name, id in tokenizer.special_tokens.items() if id in ends]


def form_of(tokenizer: Tokenizer) -> Form | None:
    """The form of the tokenizer's chat template. None where it is more than a form, or Jinja is not installed."""
    try:
        chat = chat_tokenizer(tokenizer)
        if chat is None:
            return None
        form = guessed_form(chat.template)
        tries = [conversation(*roles) for roles in conversations("system" in form.before)]
        same = all(chat.template.render(messages, answer=True) == form.written(messages) for messages in tries)
    except (HomespunError, ValueError):
        return None
    words = (form.head, form.unasked, form.answer, *form.before.values(), *form.behind.values())
    return form if same and not any("{{" in word or '"""' in word for word in words) else None


def guessed_form(template: ChatTemplate) -> Form:
    """The words around each turn, read off a conversation of five. ValueError where there is no such form."""
    talk = conversation("user", "assistant", "user", "assistant", "user")
    text = template.render(talk)
    first, after_user, after_assistant, again, last, end = around(text, talk)
    answer = template.render(talk, answer=True).removeprefix(text)
    if (after_user, after_assistant) != (again, last) or not after_user.startswith(end):
        raise ValueError("turns of one role are not written alike")
    behind_assistant, before_user = split_before_user(after_assistant, first, end)
    head, unasked = first.removesuffix(before_user), ""
    before = {"user": before_user, "assistant": after_user.removeprefix(end)}
    behind = {"user": end, "assistant": behind_assistant}
    asked = conversation("system", "user")
    try:
        before_system, after_system, _ = around(template.render(asked), asked)
    except (HomespunError, ValueError):  # it knows no system text
        return Form(head, "", before, behind, answer)
    if not before_system.startswith(head):
        head, unasked = "", head
    before = {"system": before_system.removeprefix(head), **before}
    behind = {"system": after_system.removesuffix(before_user), **behind}
    return Form(head, unasked, before, behind, answer)


def split_before_user(between: str, first: str, end: str) -> tuple[str, str]:
    """What stands between an answer and the next question, as the end of the one and the beginning of the other.

    first: what stands before the first question; end: behind a question, and often behind an answer too.

    >>> split_before_user("<end><user>", "<bos><user>", "<end>"), split_before_user(" [", "[", "]")
    (('<end>', '<user>'), (' ', '['))
    """
    cuts = ([len(end)] if between.startswith(end) else []) + list(range(len(between) + 1))
    at = next(at for at in cuts if first.endswith(between[at:]))
    return between[:at], between[at:]


def around(text: str, messages: Sequence[Message]) -> list[str]:
    """What stands before, between and behind the messages in a text. ValueError where one of them is not there."""
    found = []
    for message in messages:
        before, said, text = text.partition(message["content"])
        if not said:
            raise ValueError("a message is not there as it was said")
        found.append(before)
    return [*found, text]


def conversation(*roles: str) -> list[Message]:
    return [{"role": role, "content": f"{MARKED}{number}"} for number, role in enumerate(roles)]


def conversations(with_system: bool) -> list[tuple[str, ...]]:
    plain = [("user",), ("user", "assistant", "user"), ("user", "assistant") * 2 + ("user",)]
    return plain + [("system", *roles) for roles in plain if with_system]
