"""How a model comes to the logits of what is next: from the whole window each time, or from what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from homespun.generation.pages import Pages
from homespun.generation.window import window_start
from homespun.generation.writing import Writing
from homespun.kernels.decoding.rows import Rows, Step
from homespun.model.causal_lm import CausalLM

ROWS_AT_ONCE = 256  # a long prompt is read in parts of that many tokens, and the other texts go on in between


class Reader(Protocol):
    """What the engine asks for logits."""

    def admit(self, writing: Writing) -> bool:
        """Makes room for a text; False where there is none now."""
        ...

    def read(self, writings: Sequence[Writing]) -> tuple[list[Writing], Tensor]:
        """Does some work on them; those N whose next logits are known now, and these logits (N, V)."""
        ...

    def release(self, writing: Writing) -> None:
        """The text needs its room no more."""
        ...


class WholeWindow:
    """Computes the whole window for every token, as the lecture does. It is what all other ways are checked
    against, and right for models that have nothing to keep."""

    def __init__(self, model: CausalLM) -> None:
        self.model = model

    def admit(self, writing: Writing) -> bool:
        return True

    @torch.inference_mode()
    def read(self, writings: Sequence[Writing]) -> tuple[list[Writing], Tensor]:
        with without_dropout(self.model):
            logits = [
                self.model(torch.tensor([writing.window()], device=self.model.device))[0][
                    0, -1
                ]  # (1, T, V) -> (V)
                for writing in writings
            ]
        return list(writings), torch.stack(logits).float().cpu()

    def release(self, writing: Writing) -> None:
        pass


class KeptPages:
    """Computes every token once, by a step, and keeps keys and values in pages."""

    def __init__(self, step: Step, context_length: int) -> None:
        self.step = step
        self.context_length = context_length
        self.pages = Pages(step.pages)
        self.is_short = False  # a text that is on its way waits for pages

    def admit(self, writing: Writing) -> bool:
        if self.is_short:
            return False  # first those who have begun
        self.take_pages(writing)
        return writing.table is not None

    def read(self, writings: Sequence[Writing]) -> tuple[list[Writing], Tensor]:
        rows, ready = Rows(), []
        self.is_short = False
        try:
            for writing in writings:  # a token a text first, then prompts: whoever writes goes on writing
                if self.add(rows, writing):
                    ready.append(writing)
            return ready, self.step.logits(rows)
        except BaseException:
            self.forget(writings)  # the pages may hold anything now
            raise

    def add(self, rows: Rows, writing: Writing) -> bool:
        """As many of the text's new tokens as fit; True where its last one is among them."""
        is_full = len(writing.ids) - writing.start > self.context_length
        if writing.table is None or is_full or writing.table.known == 0:
            self.take_pages(writing)  # where nothing is read yet, another text may have begun in the same way
        if writing.table is None:
            self.is_short = True
            return False  # what it gave back, others look at, too: it goes on when there is room again
        window, known = writing.window(), writing.table.known
        new = window[known : known + max(ROWS_AT_ONCE - len(rows.ids), 1)]
        whole = known + len(new) == len(window)
        rows.add(new, known, writing.table.numbers, wants=whole)
        # Before they are there: texts that come later in these rows find them, and within a step
        # every row writes what it has to say before any row looks.
        self.pages.written(writing.table, window, known + len(new))
        return whole

    def take_pages(self, writing: Writing) -> None:
        """Pages for the window as it is now, in exchange for those that the text had."""
        self.release(writing)
        writing.start = window_start(len(writing.ids), self.context_length)
        writing.table = self.pages.take(writing.window(), writing.most_tokens_in_window())

    def release(self, writing: Writing) -> None:
        if writing.table is not None:
            self.pages.give_back(writing.table)
            writing.table = None
        self.is_short = False  # as far as is known

    def forget(self, writings: Sequence[Writing]) -> None:
        for writing in writings:
            self.release(writing)
        self.pages = Pages(self.step.pages)


@contextmanager
def without_dropout(model: CausalLM) -> Iterator[None]:
    """A model that is being trained can be asked for text in between, and goes on as it was."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
