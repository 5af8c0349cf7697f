"""What the `tokenizers` library raises, turned into an error of ours.

It knows no class of its own: it raises Exception, and where an assertion of its Rust code fails, a
PanicException, which is not even an Exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homespun.errors import HomespunError, TokenizerError


@contextmanager
def failures_explained(tell: Callable[[BaseException], HomespunError]) -> Iterator[None]:
    """A failure of the library inside becomes the error that `tell` makes of it."""
    try:
        yield
    except BaseException as error:
        if not is_the_librarys(error):
            raise
        raise tell(error) from error


def is_the_librarys(error: BaseException) -> bool:
    if isinstance(error, (HomespunError, MemoryError)):
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def damaged(doing: str) -> Callable[[BaseException], TokenizerError]:
    """For a tokenizer that was opened and then fails at `doing`."""
    return lambda error: TokenizerError(
        f"This tokenizer could not {doing}: {str(error)[:200]}",
        "Its tokenizer.json may be damaged; another one, or --tokenizer bpe, would do.",
    )
