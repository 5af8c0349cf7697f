"""Regular expressions of a stranger's tokenizer: real ones pass, those that may take for ever do not."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from homespun.tokenizer import patterns
from homespun.tokenizer.patterns import too_slow

# What tokenizers in use cut words with. The shapes matter here, not every letter.
IN_USE = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k, llama 3, qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k, possessive": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "classes in classes": r"[\p{Han}]+|[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{M}&&[^\p{Han}]]+",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    "digits from the right": r"\d{1,3}(?=(?:\d{3})*\b)",
    "spaces": r"\A +|[ ▁]+\z",
    "ours, for sentencepiece": r"\x{3c}\x{73}|(?:(?!\x{61}|\x{62})[^\x{63}\x{64}])+",
    "marks": r"<\|[^|]+\|>",
    "white space": r"\s{2,}|[\n\r\t]",
    "any character": r"[\s\S]",
    "pieces": "▁*[^▁]+|▁+",
    "nothing": "",
}

DANGEROUS = {
    "(a*)*[bx]": "a repeat within a repeat",
    "((a+)b)+": "a repeat within a repeat",
    "(a{1,3})+": "a repeat within a repeat",
    "(?:(?=a*)a)+": "a repeat within a repeat",
    "(a|a)*[bx]": "a choice within a repeat",
    "(?:a?){30}a{30}": "a choice within a repeat",
    "a**": "a repeat of a repeat",
    "a{1,3}+": "a repeat of a repeat",
    "[^☃]*☃": "a repeat that can run over the whole text, with more behind it",
    r"(?:[\s\S]{0,500}|a)☃": "a repeat that can run over the whole text, with more behind it",
    r"\b[^☃]*☃": "a repeat that can run over the whole text, with more behind it",
    "(?=e)[^☃]*☃": "a repeat that can run over the whole text, with more behind it",
    "e[^☃]*☃": "a repeat that can run over the whole text, with more behind it",
    "a(?=.*)": "a look over the whole text",
    "a*a*a*[bx]": "more than 2 repeats after one another",
    "a?" * 30 + "a" * 30: "more than 12 choices after one another",
    "(a|a)" * 30 + "b": "more than 12 choices after one another",
    r"(a+)\1": r"a reference to another part (\1)",
    r"(?<x>a|b\g<x>c)": r"a reference to another part (\g)",
    "(?~a)": "a kind of group that is not known ((?~)",
    "(?x)a* *": "a kind of group that is not known ((?x)",
    "(*FAIL)": "a kind of group that is not known ((*F)",
    "a{100000}": "a repeat of more than 1,000 times",
    "a{" + "9" * 5000 + "}": "a repeat of more than 1,000 times",
    "(" * 100_000: "groups within groups within groups",
    ")(a*)*": "a parenthesis that closes nothing",
    r"\w" * 5000: "it has 5,000 classes of characters",
    "a|" * 30_000: "it has 30,000 alternatives",
    "a" * 10**6: "it has 1,000,000 characters",
}


def test_the_worked_examples_are_right() -> None:
    outcome = doctest.testmod(patterns)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize("name", IN_USE)
def test_expressions_in_use_pass_and_are_known_to_the_library(name: str) -> None:
    assert too_slow(IN_USE[name]) == ""
    pre_tokenizers.Split(Regex(IN_USE[name]), "isolated").pre_tokenize_str("to be or not")


@pytest.mark.parametrize("pattern", DANGEROUS, ids=lambda pattern: pattern[:20])
def test_expressions_that_may_take_for_ever_do_not_pass(pattern: str) -> None:
    assert too_slow(pattern) == DANGEROUS[pattern]


PARTS = st.sampled_from(
    [*"ab()[]|*+?{}^\\,13-&=!<>:", "(?:", "(?=", "(?<!", "(a", "[^a", r"\p{L}", "{1,3}", "{2}"]
)


@given(st.lists(PARTS, max_size=25).map("".join))
def test_what_passes_comes_to_an_end(pattern: str) -> None:
    """Whatever the pattern: it is refused here, or by the library, or it ends before ten million attempts."""
    if too_slow(pattern):
        return
    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception:  # noqa: BLE001 - the library knows no narrower class
        return
    pieces = split.pre_tokenize_str("a" * 40 + "-b")  # Oniguruma panics when it has tried that often
    assert "".join(piece for piece, _ in pieces) == "a" * 40 + "-b"
