"""Characters as tokens, in words that llama.cpp has: both ways.

llama.cpp knows no tokenizer of characters. Its byte-pair encoding works on the bytes of UTF-8, each written as
one letter (see `byte_level`). So a character is a token of one to four such letters, and there are merges that
join its bytes, from the first to the last. The right half of a merge is always a byte that only goes on with a
character, so no merge reaches from one character into the next, and every text gets the ids that it has here.

A character without an id is an error here; llama.cpp leaves it out without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

from homespun.tokenizer.byte_level import byte_characters, token_bytes

# llama.cpp wants a list of merges, and reads no empty one: two bytes that stand in no text of UTF-8.
NO_MERGE = "À Á"


def word_of(character: str) -> str:
    """A character as the letters of its bytes.

    >>> word_of("a"), word_of(" "), word_of("€")
    ('a', 'Ġ', 'âĤ¬')
    """
    letters = byte_characters()
    return "".join(letters[byte] for byte in character.encode("utf-8"))


def merges_of_characters(words: Sequence[str]) -> list[str]:
    """The merges that put these words together, byte by byte.

    >>> merges_of_characters(["a", "âĤ¬"])
    ['â Ĥ', 'âĤ ¬']
    """
    joined = dict.fromkeys(f"{word[:end]} {word[end]}" for word in words for end in range(1, len(word)))
    return list(joined) or [NO_MERGE]


def characters_of(words: Sequence[str], merges: Sequence[str]) -> list[str] | None:
    """The alphabet, if these tokens are single characters and the merges nothing but their bytes; else None.

    >>> characters_of(["a", "âĤ¬"], ["â Ĥ", "âĤ ¬"]), characters_of(["a", "b", "ab"], ["a b"])
    (['a', '€'], None)
    """
    try:
        characters = [token_bytes(word).decode("utf-8") for word in words]
    except UnicodeDecodeError:
        return None
    single = all(len(character) == 1 for character in characters) and list(map(word_of, characters)) == list(words)
    return characters if single and list(merges) == merges_of_characters(words) else None
