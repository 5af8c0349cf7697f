"""The engine: many texts are written at once, a token of each with every step.

    engine = Engine(model)
    stream = engine.submit(Request([5, 7], max_tokens=20))
    for token in stream:      # whoever asks for a token that is not there yet takes a step, for all
        print(token.id)

Texts join and leave between two steps. A text whose tokens nobody reads is written all the same and
holds up no other. What a text says depends on its request alone, not on what else is being written.
All of this happens in the thread that asks; `background.Background` is the engine for several threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from homespun.errors import HomespunError, ModelError, UsageError
from homespun.generation.pages import PAGE, pages_for
from homespun.generation.reading import KeptPages, Reader, WholeWindow
from homespun.generation.request import Request
from homespun.generation.settings import KINDS
from homespun.generation.stepping import quickest_step
from homespun.generation.writing import Token, Writing, choose_for_all
from homespun.kernels.decoding.weights import version
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT

MOST_WAITING = 1000
WORTH_COMPILING = 2000  # tokens: what they cost more without the compiled step is what compiling costs


class Stream(Iterator[Token]):
    """The tokens of one text, as they come.

    finish_reason  None while it goes on; then "length" (max_tokens were written), "stop" (a stop
                   id came, or the constraint is fulfilled) or "cancelled"
    prompt_ids     what it goes on from, as far as the model looks at it
    """

    def __init__(self, engine: Engine, writing: Writing) -> None:
        self.engine = engine
        self.writing = writing
        self.prompt_ids = tuple(writing.ids)
        self.read = 0

    def __next__(self) -> Token:
        while not self.ready():
            if self.ended():
                if self.writing.error is not None:
                    raise self.writing.error
                raise StopIteration
            self.engine.step()
        self.read += 1
        return self.writing.tokens[self.read - 1]

    def ready(self) -> bool:
        """Whether a token is there that has not been read."""
        return self.read < len(self.writing.tokens)

    def ended(self) -> bool:
        """Whether nothing more will be written; what was written can still be read."""
        return self.writing.end is not None or self.writing.error is not None

    @property
    def finish_reason(self) -> str | None:
        return self.writing.end

    def cancel(self) -> None:
        """Writes no more, and gives its room to others."""
        if not self.ended():
            self.writing.end = "cancelled"
            self.engine.leave(self.writing)


class Engine:
    """Writes texts with a model.

    weights  "float32": exactly what the model says. "bfloat16", "int8": its weights are rounded to
             them, which is quicker and nearly the same
    streams  how many texts are written at once; more of them wait for their turn
    memory   bytes for keys and values; None: enough for `streams` full windows, at most a quarter of what is free
    cached   False: every token is computed from the whole window, the slow way that all others are held to
    wait     compile the quick step now if it has to be. Otherwise it is used where it is there already, and
             made beside the texts, for the next engine, when there have been 2,000 tokens without it

    Weights that change between two texts are noticed when the next one is submitted.
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
    ) -> None:
        if weights not in KINDS:
            raise UsageError(f"There are no weights of the kind {weights!r}.", f"Take one of: {', '.join(KINDS)}.")
        if streams < 1:
            raise UsageError(
                f"streams is {streams!r}.", "streams is how many texts are written at once: 1 or more."
            )
        self.model = model
        self.weights = weights
        self.streams = streams
        self.memory = memory
        self.cached = cached and isinstance(model.config, GPTConfig)  # a bigram has nothing to keep
        self.wait = wait
        self.waiting: deque[Writing] = deque()
        self.active: list[Writing] = []
        self.reader: Reader | None = None
        self.version = -1
        self.plainly = 0  # tokens that were written without the compiled step

    def submit(self, request: Request) -> Stream:
        """The stream of that request. Nothing is computed until it is asked for a token, or `step` is called.

        Raises ModelError for a prompt that the model cannot read, for a text that will never fit into the
        memory, and where too many are waiting already.
        """
        writing = Writing(request, self.model.config.vocab_size, self.model.config.context_length)
        if len(self.waiting) >= MOST_WAITING:
            raise ModelError(
                f"{len(self.waiting):,} texts are waiting already, and {len(self.active)} are being written.",
                "Try again when some of them are done.",
            )
        self.look_at_the_model()
        if writing.end is None:
            self.check_size(writing)
            self.waiting.append(writing)
        return Stream(self, writing)

    def step(self) -> bool:
        """One step for all texts; False where there was nothing to do."""
        self.let_in()
        if not self.active:
            return False
        assert self.reader is not None
        try:
            ready, logits = self.reader.read(self.active)
        except HomespunError as error:
            for writing in list(self.active):
                writing.error = error
                self.leave(writing)
            return True
        if ready:
            choose_for_all(ready, logits)
            self.count(len(ready))
        for writing in ready:
            if writing.end is not None or writing.error is not None:
                self.leave(writing)
        return True

    def count(self, tokens: int) -> None:
        """Has the compiled step made for the next time, once it would have been worth it."""
        if not isinstance(self.reader, KeptPages) or self.reader.step.is_compiled:
            return
        before, self.plainly = self.plainly, self.plainly + tokens
        if before < WORTH_COMPILING <= self.plainly and self.model.device.type == "cpu":
            from homespun.kernels.decoding.source import STEP

            STEP.compile_beside()

    def busy(self) -> bool:
        """Whether a step would do something."""
        return bool(self.active or self.waiting)

    def cancel_all(self) -> None:
        """Ends all texts that are being written or waiting."""
        for writing in [*self.active, *self.waiting]:
            writing.end = "cancelled"
            self.leave(writing)

    def let_in(self) -> None:
        """Those who have waited longest, as far as there is room."""
        assert self.reader is not None or not self.waiting
        while self.waiting and len(self.active) < self.streams and self.reader is not None:
            if not self.reader.admit(self.waiting[0]):
                return
            self.active.append(self.waiting.popleft())

    def leave(self, writing: Writing) -> None:
        if writing in self.active:
            self.active.remove(writing)
            assert self.reader is not None
            self.reader.release(writing)
        elif writing in self.waiting:
            self.waiting.remove(writing)

    def look_at_the_model(self) -> None:
        """Takes the weights as they are now. While texts are being written, these go on with what was there."""
        now = version(self.model) if self.cached else 0
        if self.active or (self.reader is not None and now == self.version):
            return
        self.version = now
        self.reader = self.make_reader()

    def make_reader(self) -> Reader:
        if not self.cached or not isinstance(self.model, GPT):
            return WholeWindow(self.model)
        step = quickest_step(self.model, self.weights, self.number_of_pages(), wait=self.wait)
        return KeptPages(step, self.model.config.context_length)

    def number_of_pages(self) -> int:
        from homespun.machine.device import memory_free

        wanted = self.streams * pages_for(self.model.config.context_length)
        if self.memory is not None:
            return min(wanted, self.memory // self.bytes_of_a_page())
        return min(wanted, max(memory_free(self.model.device) // 4 // self.bytes_of_a_page(), 1))

    def bytes_of_a_page(self) -> int:
        from homespun.kernels.decoding.native_step import bytes_kept, numbers_in_a_page

        assert isinstance(self.model.config, GPTConfig)
        return numbers_in_a_page(self.model.config) * bytes_kept(self.weights)

    def check_size(self, writing: Writing) -> None:
        """Raises ModelError where the text will never fit."""
        if not isinstance(self.reader, KeptPages):
            return
        needed, there = pages_for(writing.most_tokens_in_window()), self.reader.pages.number
        if needed > there:
            size = self.bytes_of_a_page()
            raise ModelError(
                f"This text may grow to {needed * PAGE:,} tokens, which take {needed * size / 1e6:,.1f} MB of "
                f"keys and values; the engine has room for {there * PAGE:,} tokens, {there * size / 1e6:,.1f} MB.",
                "Ask for fewer tokens, or give the engine more memory: Engine(model, memory=BYTES).",
            )
