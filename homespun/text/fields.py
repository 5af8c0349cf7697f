"""Which field of a record, or column of a table, holds the text: found by its name, else by the longest values.

>>> choose({"ID": ["a1", "a2"], "Content": ["A hen sat.", "A dog ran."], "url": ["http://x.org"] * 2}).names
('Content',)
>>> choose({"Question": ["Who?"], "Answer": ["The hen."]}).names
('Question', 'Answer')
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST_NAME = 60  # characters of a column's name that are shown: a table without names has texts there
# Names of fields that hold the text, the likeliest first; compared without case, spaces and signs.
NAMES = """
    text fulltext rawtext cleantext textclean texten plaintext content rawcontent textcontent body bodytext
    selftext story article articletext document doc documenttext passage paragraph paragraphs sentence
    sentences sentencetext transcript transcription chapter page prose message messagetext messagebody msg
    post posttext comment commenttext commentbody tweet tweettext fulltweet review reviewtext reviewbody
    lyrics lyric poem poemcontent verse verses quote joke fact essay letter email markdown md code func
    function wholefuncstring sourcecode utterance line lines dialogue dialog speech abstract summary
    description caption contents contenttext texts stories documents articles poems jokes quotes reviews
    comments tweets posts messages texte texto testo tekst текст тест inhalt contenido contenu conteúdo
    conteudo metin szöveg 文本 内容 正文 テキスト 本文 내용 본문
    """.split()  # noqa: SIM905
QUESTIONS = frozenset(
    """
    frage human input inputs instruction instructions pregunta problem problems prompt prompts q queries
    query question questions request source sourcetext user
    """.split()  # noqa: SIM905
)
ANSWERS = frozenset(
    """
    a answer answers antwort assistant bot completion completions output outputs reply response
    responses respuesta solution solutions target targets targettext
    """.split()  # noqa: SIM905
)
_CONTEXT = {"input", "inputs", "context"}  # between an instruction and its output
# Names of fields that never hold the text.
_NEVER = frozenset(
    """
    author authors categories category checksum class created createdat createdutc date dates datetime
    email file filename filepath guid hash href id ids idx image imageurl index key kind label labels
    lang language licence license likes link links locale md5 meta metadata name no nr num number path
    phone rating row rowid rowidx score sha sha256 split stars status tag tags time timestamp timestamps
    type uid updated updatedat uri url urls user userid username uuid votes year
    """.split()  # noqa: SIM905
)
_NEVER_ENDS = re.compile(
    r".*(?:[\W_](?:id|ids|url|uri|link|date|time|at|hash|path|name|type|key|index)|Id|ID|Url|URL)"
)
_VALUE_NEVER = re.compile(
    r"\s*(?:https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.\S+|[0-9a-fA-F-]{16,}|[A-Za-z0-9_-]*\d[A-Za-z0-9_-]{7,}"
    r"|[\d\s.,:/TZ+-]+)\s*"
)
_ENOUGH = 0.9  # of the values must be of a kind
_READ_TOO = 0.25  # of the chosen field's length: a field so long that is left out is named


@dataclass(frozen=True)
class Choice:
    """names: the fields whose values are the text, joined by line ends: one, or question, context and answer.

    how: "named" by the user, "text", "name", "longest", "only", "pair". left: other long fields, which are not
    read.
    """

    names: tuple[str, ...]
    how: str
    left: tuple[str, ...] = ()


def key_of(name: str) -> str:
    """
    >>> key_of("Full_Text"), key_of("  Review text ")
    ('fulltext', 'reviewtext')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def is_known(name: str) -> bool:
    """Whether fields are called so: a text, a question, an id, a date."""
    key = key_of(name)
    return len(name) <= LONGEST_NAME and (key in NAMES or key in QUESTIONS | ANSWERS | _NEVER | _CONTEXT)


def choose(columns: Mapping[str, Sequence[object]], wanted: str | None = None) -> Choice | None:
    """The field that holds the text; None where there is none. columns: the values of the first records by
    name."""
    if wanted is not None:
        name = same_name(wanted, list(columns))
        return Choice((name,), "named") if name is not None else None
    textual = {name: length for name, values in columns.items() if (length := _mean_length(values))}
    free = {name: length for name, length in textual.items() if not _is_never(name, columns[name])}
    if (pair := _pair(list(free) + [name for name in textual if key_of(name) in QUESTIONS | ANSWERS])) is not None:
        return Choice(pair, "pair")
    found = min(
        (name for name in free if key_of(name) in NAMES),
        key=lambda name: (_share_blank(columns[name]) > 0.5, NAMES.index(key_of(name))),
        default=None,
    )
    if found is None:
        spoken = [name for name in free if "text" in re.split(r"[\W_]+", name.casefold())]
        found = max(spoken, key=lambda name: free[name], default=None)
    how = "name"
    if found is None:
        if not free:
            return None
        found, how = max(free, key=lambda name: free[name]), "only" if len(columns) == 1 else "longest"
    others = tuple(name for name, length in free.items() if name != found and length > _READ_TOO * textual[found])
    return Choice((found,), "text" if key_of(found) == "text" else how, others)


def same_name(wanted: str, names: Sequence[str]) -> str | None:
    """The name that is meant: itself, else one that differs in case, spaces and signs only."""
    if wanted in names:
        return wanted
    like = [name for name in names if key_of(name) == key_of(wanted) and key_of(name)]
    return like[0] if len(like) == 1 else None


def _pair(names: Sequence[str]) -> tuple[str, ...] | None:
    """The fields of a question and its answer, where the record has these and no other text."""
    keys = {key_of(name): name for name in names}
    if len(keys) != len(set(names)):
        return None
    questions, answers = keys.keys() & QUESTIONS, keys.keys() & ANSWERS
    rest = keys.keys() - questions - answers - _CONTEXT
    if len(questions - _CONTEXT) > 1 or len(answers) > 1 or rest - {"text"}:
        return None
    if not answers and "text" in rest and questions:  # {"prompt": …, "text": …}
        return keys[min(questions)], keys["text"]
    if not answers or not (questions or "text" in rest):
        return None
    first = min(questions - _CONTEXT, default=None) or ("text" if "text" in rest else min(questions))
    between = [keys[key] for key in sorted(keys.keys() & _CONTEXT) if key != first]
    return keys[first], *between, keys[min(answers)]


def _mean_length(values: Sequence[object]) -> float | None:
    """Characters of the texts among the values; None where too many are no texts."""
    there = [value for value in values if value is not None]
    texts = [text for value in there if (text := flat_text(value, numbers=False)) is not None]
    if not there or len(texts) < _ENOUGH * len(there):
        return None
    return sum(map(len, texts)) / len(there)


def _share_blank(values: Sequence[object]) -> float:
    return sum(not (flat_text(value) or "").strip() for value in values) / len(values) if values else 1.0


def _is_never(name: str, values: Sequence[object]) -> bool:
    """Whether a field is an id, a date, a link or the like."""
    if key_of(name) == "text":
        return False
    if key_of(name) not in NAMES and (key_of(name) in _NEVER or _NEVER_ENDS.fullmatch(name)):
        return True
    texts = [text for value in values if (text := flat_text(value)) and text.strip()]
    return bool(texts) and sum(bool(_VALUE_NEVER.fullmatch(text)) for text in texts) >= _ENOUGH * len(texts)


def flat_text(value: object, *, numbers: bool = True) -> str | None:
    """The text in a value: a string, a list of strings (lines), an object with a text in it; None where there
    is none.

    >>> flat_text(["One.", "Two."]), flat_text({"text": "One."}), flat_text(4), flat_text({"a": 1})
    ('One.\\nTwo.', 'One.', '4', None)
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ("" if value != value else str(value)) if numbers else None
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) or item is None for item in value):
        return "\n".join(item for item in value if item)
    if isinstance(value, Mapping):
        inner = [name for name in value if isinstance(value[name], str) and key_of(str(name)) in NAMES]
        if inner:
            return value[min(inner, key=lambda name: NAMES.index(key_of(str(name))))]
        if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
            return only
    return None


def joined(parts: Sequence[str]) -> str:
    """The texts of several fields as one."""
    return "\n".join(part for part in parts if part.strip())


def note(choice: Choice, names: Sequence[str], what: str) -> str | None:
    """What is said of the choice behind the name of the file; None where it goes without saying.

    what: "field" or "column".
    """
    first = short(choice.names[0])
    if choice.how == "pair":
        every = ", ".join(map(short, choice.names[:-1]))
        return (
            f": {every} and {short(choice.names[-1])} of each record are joined by a line end; "
            f"homespun finetune MODEL FILE trains a model to answer"
        )
    left = f"; not read: {', '.join(map(short, choice.left[:4]))}" if choice.left else ""
    if choice.how == "longest":
        return f": the text is taken from the {what} {first}, the longest of {listed(names)}{left}"
    if choice.how == "name" or (choice.how == "text" and left):
        return f": the text is taken from the {what} {first}{left}"
    return None


def fields_said(choice: Choice, what: str, field: str) -> str:
    """What documents are read as: "JSON records, the field 'text'"."""
    names = ", ".join(map(short, choice.names))
    return f"{what}, the {field}{'s' if len(choice.names) > 1 else ''} {names}"


def short(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…")


def listed(names: Sequence[str]) -> str:
    return ", ".join(map(short, names[:12])) + (", …" if len(names) > 12 else "")
