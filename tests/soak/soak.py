"""Random requests for as long as you like: every text is what it is alone, and memory stays flat.

    python -m tests.soak.soak --minutes 60

Prompts that share beginnings, all samplers, constraints, stop ids, cancellations at any token, texts far beyond
the window, more texts than there is room for. Each text is compared with what an engine says that writes nothing
else. Ends with 1 where one differs, or where memory grows.
"""

from __future__ import annotations

import argparse
import random
import string
import time
from functools import cache

import psutil
import torch

from homespun.errors import MissingExtra
from homespun.generation.constraint import Constraint, json_schema, pattern
from homespun.generation.engine import Engine, Stream
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.char import char_tokenizer

ALPHABET = string.ascii_letters + string.digits + '{}": ,-.\n'
CONTEXT, VOCABULARY = 96, len(ALPHABET)
GROWTH = 40e6  # bytes that memory may grow by after the first fifth of the time


def model_of(family: str) -> GPT:
    torch.manual_seed(0)
    shape = {"context_length": CONTEXT, "n_layer": 3, "n_head": 4, "n_embd": 64}
    return GPT(GPTConfig.of(family, vocab_size=VOCABULARY, **shape)).eval()


@cache
def constraints() -> tuple[Constraint, ...]:
    """One that ends soon, one that may go on, one that never ends, a schema. Nothing without the library."""
    tokenizer = char_tokenizer(ALPHABET, documents=1)
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    try:
        patterns = [pattern(text, tokenizer) for text in ("[0-9]{1,4}", "([a-y]{3,9} ){5,30}[.]", "[A-Z \n]+")]
        return (*patterns, json_schema(schema, tokenizer))
    except MissingExtra:
        return ()


def random_request(dice: random.Random) -> Request:
    beginning = [dice.choice((1, 2))] * dice.choice((0, 16, 40))
    prompt = beginning + [dice.randrange(VOCABULARY) for _ in range(dice.choice((1, 3, 17, 90, 200)))]
    sampling = Sampling(
        temperature=dice.choice((0.0, 0.7, 1.0, 2.0)),
        top_k=dice.choice((None, 1, 10)),
        top_p=dice.choice((None, 0.9)),
        min_p=dice.choice((None, 0.05)),
        repetition_penalty=dice.choice((None, None, 1.2)),
        seed=dice.randrange(2**31),
    )
    return Request(
        prompt,
        max_tokens=dice.choice((0, 1, 20, 100, 250)),
        sampling=sampling,
        stop_ids=dice.choice(((), (), (7,))),
        logit_bias=dice.choice(({}, {}, {5: -2.0})),
        alternatives=dice.choice((None, 0, 3)),
        constraint=dice.choice((None, None, None, *constraints())),
    )


class Texts:
    """What is on its way, and the ids that were read of each."""

    def __init__(self, model: GPT, weights: str, dice: random.Random) -> None:
        size = Engine(model, weights=weights).bytes_per_block()
        self.engine = Engine(model, weights=weights, streams=8, memory=40 * size, wait=True)
        self.alone = Engine(model, weights=weights, streams=1, wait=True)
        self.dice = dice
        self.live: list[tuple[Stream, list[int]]] = []
        self.compared = self.tokens = self.constrained = self.cancelled = self.different = 0

    def act(self) -> None:
        """One of the things that can happen."""
        what = self.dice.random()
        if what < 0.1 and len(self.live) < 30:
            self.live.append((self.engine.submit(random_request(self.dice)), []))
        elif what < 0.12 and self.live:
            self.dice.choice(self.live)[0].cancel()
            self.cancelled += 1
        elif what < 0.5:
            self.engine.step()
        elif self.live:
            stream, ids = self.dice.choice(self.live)
            while stream.ready():
                ids.append(next(stream).id)
            if stream.ended():
                self.live.remove((stream, ids))
                self.compare(stream, ids)

    def compare(self, stream: Stream, ids: list[int]) -> None:
        expected = [token.id for token in self.alone.submit(stream.sequence.request)]
        if stream.finish_reason == "cancelled":
            expected = expected[: len(ids)]
        self.compared += 1
        self.tokens += len(ids)
        self.constrained += stream.sequence.request.constraint is not None
        self.different += ids != expected


def main() -> int:
    parser = argparse.ArgumentParser(description="Random requests, each compared with the same one alone.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="float32")
    parser.add_argument("--family", default="modern")
    asked = parser.parse_args()
    texts = Texts(model_of(asked.family), asked.weights, random.Random(asked.seed))
    process, began, settled, told = psutil.Process(), time.monotonic(), 0, 0.0
    while (share := (time.monotonic() - began) / (60 * asked.minutes)) < 1:
        texts.act()
        memory = process.memory_info().rss
        if share > 0.2 and not settled:
            settled = memory
        if share >= told:
            told += 0.1
            print(
                f"{share:4.0%}  {texts.compared:,} texts, {texts.tokens:,} tokens, {texts.different} different, "
                f"{texts.constrained:,} constrained, {texts.cancelled:,} cancelled, {memory / 1e6:,.0f} MB",
                flush=True,
            )
    grown = process.memory_info().rss - settled
    print(f"{texts.compared:,} texts, {texts.different} different, memory grew by {grown / 1e6:,.1f} MB")
    return 1 if texts.different or grown > GROWTH else 0


if __name__ == "__main__":
    raise SystemExit(main())
