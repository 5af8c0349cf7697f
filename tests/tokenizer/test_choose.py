"""`auto`: a pure function of size and alphabet."""

from __future__ import annotations

import pytest

from homespun.tokenizer.choose import bpe_size, choose


def alphabet(size: int) -> dict[str, int]:
    return {chr(0x4E00 + i): 1 for i in range(size)}


@pytest.mark.parametrize(
    ("characters", "letters", "expected"),
    [
        (1, 1, "char"),
        (1_115_394, 65, "char"),
        (3_000_000, 256, "char"),
        (3_000_001, 65, "bpe:2048"),
        (5_400_000, 110, "bpe:4096"),
        (2_000_000_000, 256, "bpe:32768"),
        (49_999, 257, "byte"),
        (50_000, 257, "bpe:512"),
        (1_000_000, 3_000, "bpe:2048"),
    ],
)
def test_the_choice_at_its_boundaries(characters: int, letters: int, expected: str) -> None:
    spec, why = choose(characters=characters, alphabet=alphabet(letters), documents=1)
    assert spec == expected
    assert why.endswith(".")


def test_the_reason_gives_the_numbers() -> None:
    assert choose(characters=1_115_394, alphabet=alphabet(65), documents=1)[1] == (
        "a text of 1,115,394 characters, 65 different ones, is learned best character by character."
    )


def test_bpe_sizes_are_powers_of_two_that_grow_with_the_text() -> None:
    sizes = [bpe_size(10**n) for n in range(12)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (512, 32_768)
    assert all(size & (size - 1) == 0 for size in sizes)
