"""What is given again to a run that goes on has to agree with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.api.train_setup import Given, check_agreement
from homespun.errors import UsageError
from homespun.planning.facts import Facts
from homespun.planning.planner import Wishes, decide


def test_a_named_size_says_nothing_of_dropout() -> None:
    wishes = Wishes(text=("t",), tokenizer="char", size="micro", steps=10, settings=(("dropout", 0.1),))
    plan = decide(wishes, Facts(train_tokens=10**6, val_tokens=10**5, vocab_size=65))
    check_agreement(plan, Given.of((), {"size": "micro"}), Path("run"))
    with pytest.raises(UsageError, match="n_layer is 5 there and 4 here"):
        check_agreement(plan, Given.of((), {"size": "nano"}), Path("run"))
