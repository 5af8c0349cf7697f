"""Marks written out in a text: those between documents (<|endoftext|>, <s>), and those of conversations
(ChatML and
others). They are no text of anybody, and a model that is trained on them as letters writes them as letters.

>>> marks = separators_in("One.\\n<|endoftext|>\\nTwo.\\n<|endoftext|>\\n")
>>> marks.name, list(marks.split(["One.\\n<|endof", "text|>\\nTwo.\\n<|endoftext|>\\n"]))
('<|endoftext|>', ['One.', 'Two.'])
>>> messages_in("<s>[INST] Who? [/INST] The hen. </s>")
[{'role': 'user', 'content': 'Who?'}, {'role': 'assistant', 'content': 'The hen.'}]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LOOK = 2**23  # characters in which marks are looked for
FEWEST = 2  # marks of a text that is divided at them; one at its end is left out all the same
MAX_BETWEEN = 2**26  # characters between two marks
# The mark at the end of a document, and the one at its beginning that some put before it.
_PARTNER = {
    "<|endoftext|>": "<|startoftext|>",
    "<|end_of_text|>": "<|begin_of_text|>",
    "<|endofdoc|>": "<|startofdoc|>",
    "<|eos|>": "<|bos|>",
    "<eos>": "<bos>",
    "<EOS>": "<BOS>",
    "[EOS]": "[BOS]",
    "</s>": "<s>",
}
_QUOTES = "`'\"“”‘’«»()[]{}"  # beside a mark: somebody writes about it
_MEANT = 0.9  # of its places in the text


@dataclass(frozen=True)
class Separators:
    """name: of the mark, for people. pattern: the marks with the white space around them."""

    name: str
    pattern: re.Pattern[str]

    def split(self, chunks: Iterable[str]) -> Iterator[str]:
        """The texts between the marks, without white space at their ends; those that are nothing are left out."""
        waiting = ""
        for chunk in chunks:
            *whole, waiting = self.pattern.split(waiting + chunk)
            # A mark may end in the next chunk, and so may the white space after one.
            yield from (text for piece in whole if (text := piece.strip()))
            if len(waiting) > MAX_BETWEEN:
                yield waiting
                waiting = ""
        if text := waiting.strip():
            yield text


def separators_in(text: str) -> Separators | None:
    """The marks at which a text is divided into documents; None where there are none, or somebody writes about
    them.

    text: all of it, or its beginning.
    """
    for end, start in _PARTNER.items():
        if end not in text and start not in text:
            continue
        ends, starts = _places(text, end), _places(text, start)
        mark = end if ends else start
        places = ends or starts
        if len(places) < FEWEST and not (ends and text.rstrip().endswith(end)):
            continue
        if end == "</s>" and not _are_lines(text, len(ends), len(starts)):
            continue
        if sum(_is_meant(text, place, mark) for place in places) >= _MEANT * len(places):
            either = "|".join(map(re.escape, (end, start)))
            return Separators(mark, re.compile(rf"\s*(?:{either})(?:\s*(?:{either}))*\s*"))
    return None


def rules_in(text: str) -> Separators | None:
    """Rows of = between texts, all alike; None where they underline headings, which are as long as those.

    >>> rules_in("A hen sat.\\n=====\\nIt rained.\\n=====\\nThe end.\\n=====\\n").name
    '====='
    >>> rules_in("Title\\n=====\\nText.\\n\\nOther\\n=====\\nMore.\\n\\nThird\\n=====\\nEnd.\\n")
    """
    rows = re.findall(r"^(.*)\n(={5,})[ \t]*$", text, re.MULTILINE)
    if len(rows) <= FEWEST or len({row for _, row in rows}) != 1:
        return None
    if sum(abs(len(above.strip()) - len(row)) <= 1 for above, row in rows) > len(rows) / 2:
        return None
    row = rows[0][1]
    return Separators(row, re.compile(rf"(?:\A|\s*\n){row}[ \t]*(?:\n\s*|\Z)"))


def _places(text: str, mark: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(mark), text)]


def _is_meant(text: str, place: int, mark: str) -> bool:
    """Whether a mark is one, and not a word in a sentence about it."""
    before, after = text[max(0, place - 1) : place], text[place + len(mark) : place + len(mark) + 1]
    if (before and before in _QUOTES and after and after in _QUOTES) or "`" in before + after:
        return False
    return not (before == " " and after == " ")


def _are_lines(text: str, ends: int, starts: int) -> bool:
    """<s> and </s> strike out words in HTML; as marks of a text they stand at the ends of lines."""
    at_ends = len(re.findall(r"</s>[ \t]*(?:\n|<s>|\Z)", text))
    at_starts = len(re.findall(r"(?:\A|\n|</s>)[ \t]*<s>", text))
    return (
        at_ends >= _MEANT * max(1, ends)
        and at_starts >= _MEANT * starts
        and (starts == 0 or abs(ends - starts) <= 1)
    )


# --- conversations
# ------------------------------------------------------------------------------------------------

_ROLES = {
    "system": "system",
    "context": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "question": "user",
    "prompt": "user",
    "input": "user",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "gpt": "assistant",
    "response": "assistant",
    "answer": "assistant",
    "output": "assistant",
    "tool": "tool",
    "ipython": "tool",
}
_NAMES = "|".join(_ROLES)
# What begins a message, by what people call the form.
_FORMS = {
    "ChatML": re.compile(rf"<\|im_start\|>\s*({_NAMES})\b[ \t]*\n?", re.IGNORECASE),
    "Llama 3": re.compile(rf"<\|start_header_id\|>\s*({_NAMES})\s*<\|end_header_id\|>\s*", re.IGNORECASE),
    "Gemma": re.compile(rf"<start_of_turn>\s*({_NAMES})\b[ \t]*\n?", re.IGNORECASE),
    "Zephyr": re.compile(r"<\|(system|user|assistant|prompter|human|bot|tool)\|>:?[ \t]*\n?", re.IGNORECASE),
    "Alpaca or Guanaco": re.compile(
        r"\s*###\s*(Human|Assistant|Instruction|Input|Response|User|System|Question|Answer|Output|Prompt)\s*:"
        r"[ \t]*\n?"
    ),
    "Human and Assistant": re.compile(
        r"(?:\A\s*|\n\s*|(?<=</s>)\s*| (?=ASSISTANT:))(Human|Assistant|USER|ASSISTANT|User):[ \t]*"
    ),
}
_HINTS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|user|>", "<|prompter|>", "<|human|>", "###",
          "[INST]", "Human:", "USER:", "User:")  # fmt: skip
_END_MARKS = re.compile(
    r"\s*(?:<\|(?:im_end|eot_id|end_of_text|end|endoftext|eom_id)\|>|<end_of_turn>|</s>|<eos>|<s>|<bos>|<\|begin_of_text\|>)\s*"
)
_TEMPLATE = re.compile(r"\s*Below is an instruction that describes a task.*", re.DOTALL)
_LLAMA2 = re.compile(r"\[INST\]\s*(.*?)\s*\[/INST\]\s*(.*?)(?=\s*(?:</s>|<s>|\[INST\])|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"<<SYS>>\s*(.*?)\s*<</SYS>>\s*", re.DOTALL)


def messages_in(text: str) -> list[dict[str, str]] | None:
    """The messages of a conversation that is written out with marks; None for any other text.

    Roles are system, user, assistant and tool. There is a user and an answer among them.
    """
    if not any(hint in text for hint in _HINTS):
        return None
    if "[INST]" in text and (found := _llama2(text)):
        return found
    for name, mark in _FORMS.items():
        parts = mark.split(text)
        if len(parts) < 5 or (name == "Human and Assistant" and parts[0].strip() and "ASSISTANT" not in parts):
            continue
        messages = _messages(parts)
        roles = {message["role"] for message in messages}
        if {"user", "assistant"} <= roles:
            return messages
    return None


def _messages(parts: list[str]) -> list[dict[str, str]]:
    """parts: what stands before the first mark, then a role and its text in turn."""
    found: list[dict[str, str]] = []
    opening = _END_MARKS.sub("", parts[0]).strip()
    if opening and not _TEMPLATE.fullmatch(opening):
        found.append({"role": "system", "content": opening})
    for name, content in zip(parts[1::2], parts[2::2], strict=False):
        role, text = _ROLES[name.lower()], _END_MARKS.sub("\n", content).strip()
        if found and name.lower() == "input" and found[-1]["role"] == "user":
            found[-1]["content"] = "\n\n".join(filter(None, (found[-1]["content"], text)))
        elif text:
            found.append({"role": role, "content": text})
    return found


def _llama2(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for question, answer in _LLAMA2.findall(text):
        system = _LLAMA2_SYSTEM.search(question)
        if system and system[1]:
            found.append({"role": "system", "content": system[1]})
        asked = _LLAMA2_SYSTEM.sub("", question).strip()
        said = _END_MARKS.sub("", answer).strip()
        found.extend([{"role": "user", "content": asked}] if asked else [])
        found.extend([{"role": "assistant", "content": said}] if said else [])
    return found if {"user", "assistant"} <= {message["role"] for message in found} else []


def as_lines(messages: list[dict[str, str]]) -> str:
    """A conversation as text: "User: …" and "Assistant: …".

    >>> as_lines([{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The hen."}])
    'User: Who?\\nAssistant: The hen.\\n'
    """
    return "".join(f"{message['role'].capitalize()}: {message['content']}\n" for message in messages)


_OPENING = (
    r"\s*(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|(?:user|prompter|human)\|>|\[INST\]"
    r"|###\s*(?:Human|Instruction|User|Question|Prompt)\s*:|Human:|USER:)"
)
# Where one conversation ends and the next begins: before a system text, a <s>, after a blank line, at each line.
_BOUNDARIES = (
    r"(?=<\|im_start\|>\s*system\b|<s>|Below is an instruction that)",
    rf"\n[ \t]*\n(?={_OPENING})",
    r"\n",
)


def conversations_in(text: str) -> list[str] | None:
    """The conversations in a text without marks between them: each begins with a system text, or after a blank
    line."""
    if messages_in(text) is None:
        return None
    for boundary in _BOUNDARIES:
        parts = [part for part in re.split(boundary, text) if part.strip()]
        if len(parts) > 1 and all(messages_in(part) for part in parts):
            return parts
    return [text]
