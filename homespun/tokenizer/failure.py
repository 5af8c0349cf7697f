"""Turn the errors of the `tokenizers` library into homespun's.

The library has no exception class of its own: it raises Exception and, if an assertion in its Rust code fails,
PanicException, which is not a subclass of Exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homespun.errors import HomespunError, TokenizerError


@contextmanager
def failures_explained(tell: Callable[[BaseException], HomespunError]) -> Iterator[None]:
    """Convert a failure of the library in the block into the error that `tell` returns for it."""
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
    """Return the conversion for a tokenizer that was opened, and then fails at `doing`."""
    return lambda error: TokenizerError(
        f"This tokenizer could not {doing}: {str(error)[:200]}",
        "Its tokenizer.json may be damaged; another one, or --tokenizer bpe, would do.",
    )
