"""The engine: many sequences are generated at once, a token of each with every step.

    engine = Engine(model)
    stream = engine.submit(Request([5, 7], max_tokens=20))
    for token in stream:      # whoever asks for a token that is not there yet takes a step, for all
        print(token.id)

Sequences are admitted and finish between two steps (continuous batching). A sequence whose tokens nobody reads is
generated all the same and holds up no other. Its tokens depend on its request alone, not on other sequences.
All of this happens in the thread that asks; `background.Background` is the engine for several threads.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator

from homespun.errors import HomespunError, ModelError, UsageError
from homespun.generation.adapters import Adapters, with_adapters
from homespun.generation.decoding import bytes_per_block, fastest_step
from homespun.generation.kv_blocks import BLOCK, blocks_for
from homespun.generation.request import Request
from homespun.generation.runner import FullWindowRunner, ModelRunner, PagedRunner
from homespun.generation.sequence import Sequence, Token, choose_for_all
from homespun.generation.settings import KINDS
from homespun.kernels.decoding.weights import version
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT

MOST_WAITING = 1000
WORTH_COMPILING = 2000  # tokens: without the C++ step these take as much longer as compiling it takes


def to_stderr(line: str) -> None:
    """Where a line goes that nobody else takes."""
    print(line, file=sys.stderr)


class Stream(Iterator[Token]):
    """The tokens of one sequence, as they come.

    finish_reason  None while it goes on; then "length" (max_tokens were generated), "stop" (a stop
                   id came, or the constraint is fulfilled) or "cancelled"
    prompt_ids     the prompt, as far as it fits into the model's context
    """

    def __init__(self, engine: Engine, sequence: Sequence) -> None:
        self.engine = engine
        self.sequence = sequence
        self.prompt_ids = tuple(sequence.ids)
        self.read = 0

    def __next__(self) -> Token:
        while not self.ready():
            if self.ended():
                if self.sequence.error is not None:
                    raise self.sequence.error
                raise StopIteration
            self.engine.step()
        self.read += 1
        return self.sequence.tokens[self.read - 1]

    def ready(self) -> bool:
        """Whether a token is there that has not been read."""
        return self.read < len(self.sequence.tokens)

    def ended(self) -> bool:
        """Whether nothing more will be generated; what was can still be read."""
        return self.sequence.end is not None or self.sequence.error is not None

    @property
    def finish_reason(self) -> str | None:
        return self.sequence.end

    def cancel(self) -> None:
        """Generates no more, and frees its room."""
        if not self.ended():
            self.sequence.end = "cancelled"
            self.engine.finish(self.sequence)


class Engine:
    """Generates text with a model: any GPT, with LoRA or without, or a bigram.

    weights  "float32": exactly what the model says. "bfloat16", "int8": its weights are rounded to
             them, which is faster with the C++ step, and nearly the same
    streams  how many sequences are generated at once; more of them wait for their turn
    memory   bytes for keys and values; None: enough for `streams` full windows, at most a quarter of what is free
    cached   False: every token is computed from the whole window, the slow way that all others are held to
    wait     compile the C++ step now if it has to be. Otherwise it is used where it is there already, and is
             compiled in the background, for the next engine, after 2,000 tokens without it
    most_waiting  how many sequences may wait before `submit` raises
    adapters what `Request.adapter` may name: the changes of each, by our names of the matrices (`adapters`)
    note     is given a line where a kernel fails its self-check and is not used

    Weights that change between two sequences are noticed when the next one is submitted.
    """

    def __init__(
        self,
        model: CausalLM,
        *,
        weights: str = "float32",
        streams: int = 16,
        memory: int | None = None,
        cached: bool = True,
        wait: bool = False,
        most_waiting: int | None = None,
        adapters: Adapters | None = None,
        note: Callable[[str], None] = to_stderr,
    ) -> None:
        if weights not in KINDS:
            raise UsageError(f"There are no weights of the kind {weights!r}.", f"Take one of: {', '.join(KINDS)}.")
        if streams < 1:
            raise UsageError(
                f"streams is {streams!r}.", "streams is how many texts are generated at once: 1 or more."
            )
        self.model = model
        self.weights = weights
        self.streams = streams
        self.memory = memory
        self.cached = cached and isinstance(model.config, GPTConfig)  # a bigram has nothing to cache
        self.wait = wait
        self.note = note
        self.most_waiting = MOST_WAITING if most_waiting is None else most_waiting
        self.adapters = dict(adapters or {})
        if self.adapters and not (isinstance(model, GPT) and self.cached):
            raise UsageError("This model has no blocks that an adapter could change.", "Leave the adapters out.")
        self.waiting: deque[Sequence] = deque()
        self.active: list[Sequence] = []
        self.runner: ModelRunner | None = None
        self.version = -1
        self.eager_tokens = 0  # tokens that were generated without the C++ step

    def submit(self, request: Request) -> Stream:
        """The stream of that request. Nothing is computed until it is asked for a token, or `step` is called.

        Raises ModelError for a prompt that the model cannot read, for a text that will never fit into the
        memory, and where too many are waiting already.
        """
        if request.adapter is not None and request.adapter not in self.adapters:
            raise UsageError(
                f"There is no adapter {request.adapter!r}.", f"There are: {', '.join(self.adapters) or 'none'}."
            )
        sequence = Sequence(request, self.model.config.vocab_size, self.model.config.context_length)
        if len(self.waiting) >= self.most_waiting:
            raise ModelError(
                f"{len(self.waiting):,} texts are waiting already, and {len(self.active)} are being generated.",
                "Try again when some of them are done.",
            )
        self.update_runner()
        if sequence.end is None:
            self.check_size(sequence)
            self.waiting.append(sequence)
        return Stream(self, sequence)

    def step(self) -> bool:
        """One step for all sequences; False where there was nothing to do."""
        self.admit()
        if not self.active:
            return False
        assert self.runner is not None
        try:
            ready, logits = self.runner.run(self.active)
        except HomespunError as error:
            for sequence in list(self.active):
                sequence.error = error
                self.finish(sequence)
            return True
        if ready:
            choose_for_all(ready, logits)
            self.count(len(ready))
        for sequence in list(self.active):
            if sequence.end is not None or sequence.error is not None:
                self.finish(sequence)
        return True

    def count(self, tokens: int) -> None:
        """Has the C++ step compiled for the next time, once it would have been worth it."""
        if not isinstance(self.runner, PagedRunner) or self.runner.step.is_compiled:
            return
        before, self.eager_tokens = self.eager_tokens, self.eager_tokens + tokens
        if before < WORTH_COMPILING <= self.eager_tokens and self.model.device.type == "cpu":
            from homespun.kernels.decoding.source import STEP

            STEP.compile_beside()

    def busy(self) -> bool:
        """Whether a step would do something."""
        return bool(self.active or self.waiting)

    def cancel_all(self) -> None:
        """Ends all sequences, active or waiting."""
        for sequence in [*self.active, *self.waiting]:
            sequence.end = "cancelled"
            self.finish(sequence)

    def admit(self) -> None:
        """Makes those active that have waited longest, as far as there is room."""
        assert self.runner is not None or not self.waiting
        while self.waiting and len(self.active) < self.streams and self.runner is not None:
            if not self.runner.admit(self.waiting[0]):
                return
            self.active.append(self.waiting.popleft())

    def finish(self, sequence: Sequence) -> None:
        if sequence in self.active:
            self.active.remove(sequence)
            assert self.runner is not None
            self.runner.release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def update_runner(self) -> None:
        """Takes the weights as they are now, unless sequences are being generated with those that were there."""
        now = version(self.model) if self.cached else 0
        if self.active or (self.runner is not None and now == self.version):
            return
        self.version = now
        self.runner = self.make_runner()

    def make_runner(self) -> ModelRunner:
        if not self.cached or not isinstance(self.model, GPT):
            return FullWindowRunner(self.model)
        model = with_adapters(self.model, self.adapters) if self.adapters else self.model
        step = fastest_step(model, self.weights, self.number_of_blocks(), wait=self.wait, note=self.note)
        return PagedRunner(step, self.model.config.context_length, tuple(self.adapters))

    def number_of_blocks(self) -> int:
        from homespun.machine.device import memory_free

        one = blocks_for(self.model.config.context_length)
        if self.memory is not None:
            return min(self.streams * one, self.memory // self.bytes_per_block())
        # However little is free at the moment: there is room for one sequence.
        return min(self.streams * one, max(memory_free(self.model.device) // 4 // self.bytes_per_block(), one))

    def bytes_per_block(self) -> int:
        """Of the KV cache, in all layers."""
        assert isinstance(self.model, GPT)
        return bytes_per_block(self.model, self.weights, wait=self.wait)

    def check_size(self, sequence: Sequence) -> None:
        """Raises ModelError where the sequence will never fit."""
        if not isinstance(self.runner, PagedRunner):
            return
        needed, there = blocks_for(sequence.most_tokens_in_window()), self.runner.manager.number
        if needed > there:
            size = self.bytes_per_block() / 1e6
            raise ModelError(
                f"This text may grow to {needed * BLOCK:,} tokens, which take {needed * size:,.1f} MB of "
                f"keys and values; the engine has room for {there * BLOCK:,} tokens, {there * size:,.1f} MB.",
                "Ask for fewer tokens, or give the engine more memory: Engine(model, memory=BYTES).",
            )
