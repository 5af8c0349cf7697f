"""Words that the project does not use any more, because a textbook or a search engine does not know them.

What stands instead is in the table. Only words that cannot be meant otherwise are listed: "look" the plain verb is
fine, `look_tokens` is not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RETIRED = {
    r"by heart": "overfit, memorise",
    r"drilled": "overfit",
    r"\bdice\b": "random state, rng, draw",
    r"\bDice\b": "rng",
    r"closing look|look_tokens|look_is_due|\blooks_to_come|[a-z]_of_looks|LOOKS": "evaluation, eval_tokens",
    r"\b(the last|every|each|closing) look\b(?! at)": "evaluation",
    r"\breadings\b": "epochs; evaluation passes",
    r"\bpull(ed|s)? (of|to|towards) (the )?(zero|matrices|weights)|harder pull|HARDER_PULL": "weight decay",
    r"in_place_of|InPlaceOf|\btwins?\b|\btwin_of": "kernel, exchange",
    r"\bquicken|\bis_quick\b|\bby_hand\b": "kernel, fused, hand-written backward",
    r"\bsees_its_own|\bdef sees\b": "document_mask, causal_mask",
    r"\bbend\b|\bshelf\b|\bBEND\b": "activation; layer index",
    r"\bclass (Writing|Reader|KeptPages|WholeWindow|Table|Rows|Course)\b|\blet_in\b": "Sequence, …",
    r"\bran away\b|\brun(s|ning)? away\b|RanAway|RUNAWAY": "diverged",
    r"\bcalm\b|\bCALM\b|calm_from": "lr_backoff",
    r"\bretimed\b|\bleg\(": "rescheduled, segment",
    r"\bladder\(|\bLadder\b|what counting reaches": "n-gram baseline",
    r"\bborder\b": "separator",
    r"kinds of tokens": "vocabulary size",
    r"\blearnt\b": "trained; learned; target",
    r"\btold_|\bdef told\b": "describe_, report_",
    r"thrown? (the )?dice|\bthrow\(": "draw",
    r"knowing nothing|knowing_nothing": "uniform baseline (ln V)",
    r"undisturbed": "consistent_read",
    r"\bplainly\b": "eager",
    r"in the place of": "instead of",
    r"twice as quick|times as quick": "2 times faster",
}
# These read what earlier versions wrote, and have to name it.
OLD_FORMATS = {"homespun/planning/base_plan.py", "homespun/training/resume.py"}
SUFFIXES = {".py", ".cpp", ".h", ".md", ".ipynb"}
PLACES = ("homespun", "benchmarks", "docs", "lessons", "README.md", "CONTRIBUTING.md")
FILES = sorted(
    path
    for place in PLACES
    for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    if path.suffix in SUFFIXES and str(path.relative_to(ROOT)) not in OLD_FORMATS
)


def text_of(path: Path) -> str:
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(source)["cells"])
    return source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_word_is_used(path: Path) -> None:
    text = text_of(path)
    found = [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}; use: {instead}"
        for pattern, instead in RETIRED.items()
        for match in re.finditer(pattern, text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("sentence", "is_retired"), [("it learns by heart", True), ("look at the curve", False)])
def test_the_table_finds_what_it_lists_and_no_plain_english(sentence: str, is_retired: bool) -> None:
    assert any(re.search(pattern, sentence) for pattern in RETIRED) is is_retired
