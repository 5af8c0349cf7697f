"""Characters that a character model does not know, and the ones that it knows and that look the same.

A keyboard has straight quotation marks, a typeset book has curly ones; one computer writes é as one character,
another as e and an accent. Nothing else is guessed: a character without a look-alike stays as it is.

>>> adapted('He said "no".', "He saidno.“”")
('He said “no”.', {'"': ['“', '”']})
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

# Each with those that may stand for it, the nearest first.
APOSTROPHES = "'’ʼ‘＇´`′ʹ"
QUOTES = '"“”″„‟«»＂'
DASHES = "-‐‑–—−―－"
SPACES = " \u00a0\u2009\u202f\u2007\u2002\u2003\u200a\u3000\t"
GROUPS = (APOSTROPHES, QUOTES, DASHES, SPACES)
WRITTEN_OUT = {"…": "...", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "―": "--", "—": "--"}
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"  # characters that nobody sees
OPENS = re.compile(r"(?:^|[\s(\[{<—–-])$")


def adapted(text: str, alphabet: Collection[str]) -> tuple[str, dict[str, list[str]]]:
    """Return the text with look-alikes for characters that are not in the alphabet, and what was read as what.

    Characters without one stay. An empty replacement is an invisible character that was left out.
    """
    unknown = set(text).difference(alphabet)
    if not unknown:
        return text, {}
    taken: dict[str, list[str]] = {}
    text = composed(text, unknown, alphabet, taken)
    pieces: list[str] = []
    for place, character in enumerate(text):
        found = look_alike(character, text[place - 1 : place], alphabet) if character in unknown else None
        if found is None:
            pieces.append(character)
            continue
        if found not in taken.setdefault(character, []):
            taken[character].append(found)
        pieces.append(found)
    return "".join(pieces), taken


def look_alike(character: str, before: str, alphabet: Collection[str]) -> str | None:
    """What the alphabet has for a character; None where it has nothing like it. before: what stands before it.

    >>> look_alike('"', " ", "“”"), look_alike('"', "x", "“”")
    ('“', '”')
    >>> look_alike("é", "", "e\\u0301") == "e\\u0301", look_alike("é", "", "e")
    (True, None)
    """
    opens = OPENS.search(before) is not None
    for group in GROUPS:
        if character in group:
            order = sorted(group, key=lambda one: not preferred(one, opens))
            found = next((one for one in order if one in alphabet), None)
            if found is not None:
                return found
    for written in (WRITTEN_OUT.get(character), *forms(character)):
        if written and all(one in alphabet for one in written):
            return written
    return "" if character in INVISIBLE else None


def preferred(character: str, opens: bool) -> bool:
    """Whether a quotation mark is the one for this side of a word."""
    return character in ("“", "„", "«", "‘") if opens else character in ("”", "»", "’")


def forms(character: str) -> list[str]:
    """The character decomposed, composed, and in its compatible form: full-width letters, ligatures."""
    return [unicodedata.normalize(form, character) for form in ("NFD", "NFC", "NFKC", "NFKD")]


def composed(text: str, unknown: set[str], alphabet: Collection[str], taken: dict[str, list[str]]) -> str:
    """Letters with accents of their own, as the one character that the alphabet has for both."""
    accents = "".join(sorted(one for one in unknown if unicodedata.combining(one)))
    if not accents:
        return text

    def one(found: re.Match[str]) -> str:
        whole = unicodedata.normalize("NFC", found[0])
        if not all(character in alphabet for character in whole):
            return found[0]
        taken[found[0]] = [whole]
        return whole

    return re.sub(rf".[{re.escape(accents)}]+", one, text, flags=re.DOTALL)


def described(taken: Mapping[str, Sequence[str]]) -> str:
    """What was taken for what, for people.

    >>> described({"'": ["’"], "\\u200b": [""]})
    "' as ’, and U+200B is left out"
    """
    read = [f"{shown(one)} as {' or '.join(map(shown, other))}" for one, other in taken.items() if any(other)]
    gone = [shown(one) for one, other in taken.items() if not any(other)]
    more = f" and {len(read) - 6:,} more" if len(read) > 6 else ""
    parts = [", ".join(read[:6]) + more] if read else []
    parts += [f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} left out"] if gone else []
    return ", and ".join(parts)


def shown(text: str) -> str:
    invisible = not text.isprintable() or text.isspace() or all(map(unicodedata.combining, text))
    return " ".join(f"U+{ord(one):04X}" for one in text) if invisible else text
