"""The table of words, shared by threads."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from homespun.tokenizer import build, words


def test_threads_that_share_a_tokenizer_get_the_ids_of_their_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is made to start afresh all the time: then rows that one thread has found are another's."""
    monkeypatch.setattr(words, "MOST_WORDS", 50)
    texts = [" ".join(f"w{number * k % 997}" for number in range(400)) for k in range(1, 40)]
    text = " ".join(texts)
    tokenizer = build("bpe:400", alphabet=Counter(text), documents=1, pieces=lambda: iter([text]))
    alone = [tokenizer.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(tokenizer.encode, texts * 5))
    assert together == alone * 5
