"""The part of a text that is in the context, once the text is longer than its context_length.

A model sees context_length tokens at most. While the text is shorter, it sees all of it. When
the window is full, the older half of it is dropped, and the newer half is read again from its
first token, as if the text began there; then the window fills up again. So every token but one
in context_length / 2 costs one token, and what the model sees at any moment is a matter of
numbers alone: the same with a cache and without one.

The lecture moves the window by one with every token, which shows the model a little more, and
costs a pass over the whole window each time: the position of every token changes, and with it
all that could have been kept. For a model that sees one token, such as the bigram, both are the same.
"""

from __future__ import annotations


def window_start(tokens: int, context_length: int) -> int:
    """Where the window begins in a text of that many tokens, of which the first was seen first.

    With a context_length of 8, the window begins at 4 when the ninth token is there, at 8 with the thirteenth.

    >>> [window_start(tokens, 8) for tokens in (1, 8, 9, 12, 13)]
    [0, 0, 4, 4, 8]
    """
    over = tokens - context_length
    if over <= 0:
        return 0
    half = (context_length + 1) // 2
    return -(-over // half) * half
