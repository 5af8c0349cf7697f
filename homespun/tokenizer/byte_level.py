"""GPT-2's mapping of bytes to characters, which byte-level tokenizer.json files use.

Each of the 256 bytes has one printable character: itself if it is printable in Latin-1, else the next free one
from U+0100 on. So a space is Ġ and a newline is Ċ.
Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.
"""

from __future__ import annotations

from typing import Any


def byte_characters() -> list[str]:
    """Return the character of each byte, 0 to 255.

    >>> byte_characters()[ord("A")], byte_characters()[ord(" ")], byte_characters()[ord("\\n")]
    ('A', 'Ġ', 'Ċ')
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


_BYTE_OF = {character: byte for byte, character in enumerate(byte_characters())}


def token_bytes(token: str) -> bytes:
    """Return the bytes of a token.

    A token with a character outside the 256 (possible for an added token) is encoded as UTF-8.

    >>> token_bytes("Ġboy"), token_bytes("ÃŃ"), token_bytes("a b")
    (b' boy', b'\\xc3\\xad', b'a b')
    """
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode("utf-8")


def readable(content: bytes) -> str:
    r"""Return bytes in readable form.

    >>> readable(" né\n".encode()), readable(b"\xc3")
    (' né\\n', '\\xc3')
    """
    text = content.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def has_affixes(model: dict[str, Any]) -> bool:
    """Return whether this model of a tokenizer.json marks characters inside or at the end of a word."""
    return bool(model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
