"""The kinds of layers that a model may mix, and the pattern in which they follow each other. Needs no torch.

Most models have one kind. Others attend to all tokens in some layers only, and to the nearest ones in the rest,
which keeps long texts cheap (Beltagy et al. 2020, arXiv 2004.05150).
"""

from __future__ import annotations

from collections.abc import Sequence

GLOBAL = "global"  # attends to all tokens before it
LOCAL = "local"  # attends to the tokens of a window, the last of which is its own
NOPE = "nope"  # attends to all, and positions do not rotate anything (Kazemnejad et al. 2023, arXiv 2305.19466)
KINDS = (GLOBAL, LOCAL, NOPE)


def pattern_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """The shortest pattern that gives the kinds of these layers when it is repeated.

    >>> pattern_of(["local", "local", "global", "local", "local"])
    ('local', 'local', 'global')
    """
    kinds = tuple(kinds)
    lengths = (n for n in range(1, len(kinds) + 1) if all(a == b for a, b in zip(kinds, kinds[n:], strict=False)))
    return kinds[: next(lengths, 0)]
