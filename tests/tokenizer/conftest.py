"""Texts that tokenizers stumble over, and GPT-2's two files where this computer has them."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

NASTY = [
    "",
    " ",
    "   ",
    "\n\n\n",
    " edge spaces ",
    "  a  b  ",
    "a\r\nb\rc\r\n",
    "\ttab\t\n \t \n x",
    "1234567890 007 3.14 ١٢٣ ²",
    "don't we'll I'M rock 'n' roll",
    "a . b , c ! d ? do n't it 's",
    "naïve café e\u0301 q\u0307\u0323 ﬁ ẞß Å Å",
    "漢字かな交じり文 한국어 ｶﾞ",
    "שלום עולם مرحبا \u202eabc\u202c",
    "😀👍🏽👩‍👩‍👧🇩🇪",
    "def f(x):\n    return x ** 2  # ok\n\n\nclass A:\n\tpass\n",
    "<|endoftext|>",
    "a<|endoftext|>b <|endoftext|>\n",
    "<s></s><unk> <0x41>",
    "\u00a0\u2003\u3000x\u200b\ufeff",
    "\x00\x01\x1c\x1d\x85",
    "".join(map(chr, range(256))),
    "\ufffd\uffff\U0010ffff",
    "a▁b ▁ Ġ Ċ",
    "x" * 3000,
    "ab" * 500 + " " * 500,
]

LEARNED_FROM = "To be, or not to be, that is the question: 1601 or 1602?\n\tWhether 'tis nobler\n" * 40

# Before any test moves it.
OWN_CACHE = Path(os.environ.get("HOMESPUN_CACHE") or platformdirs.user_cache_path("homespun"))


@pytest.fixture(scope="session")
def nasty_texts() -> list[str]:
    return NASTY


@pytest.fixture
def make() -> Callable[..., Tokenizer]:
    """make("bpe:300", documents=2): a tokenizer that has seen every character of the nasty texts."""

    def made(spec: str, text: str = LEARNED_FROM + "".join(NASTY), documents: int = 1) -> Tokenizer:
        return build(spec, alphabet=Counter(text), documents=documents, pieces=lambda: iter([text]))

    return made


@pytest.fixture
def gpt2_files(own_cache: Path) -> tuple[bytes, bytes]:
    """encoder.json and vocab.bpe; skipped where this computer has never fetched them (no test downloads)."""
    places = [OWN_CACHE / "gpt2"]
    if "HOMESPUN_DATA" in os.environ:
        places.append(Path(os.environ["HOMESPUN_DATA"]) / "gpt2")
    for place in places:
        if (place / "encoder.json").is_file() and (place / "vocab.bpe").is_file():
            (own_cache / "gpt2").mkdir()
            for name in ("encoder.json", "vocab.bpe"):
                shutil.copy(place / name, own_cache / "gpt2" / name)
            return (place / "encoder.json").read_bytes(), (place / "vocab.bpe").read_bytes()
    pytest.skip("GPT-2's files are not here: homespun fetches them when --tokenizer gpt2 is first used")
