"""How the engine comes to the logits of next tokens: from the whole window each time, or with a KV cache."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol

import torch
from torch import Tensor

from homespun.generation.kv_blocks import BEGINNING, BlockManager
from homespun.generation.prefill import PrefillBudget
from homespun.generation.sequence import Sequence
from homespun.generation.window import window_start
from homespun.kernels.decoding.slots import DecodeStep, Slots
from homespun.model.causal_lm import CausalLM
from homespun.model.mode import evaluation_mode

# The prefill of a long prompt is cut into chunks, and other sequences go on in between: into chunks of at most so
# many tokens, and smaller ones beside texts that are being written (`prefill`).
SLOTS_AT_ONCE = 256


class ModelRunner(Protocol):
    """What the engine asks for logits."""

    def admit(self, sequence: Sequence) -> bool:
        """Makes room for a sequence; False where there is none now."""
        ...

    def run(self, sequences: list[Sequence]) -> tuple[list[Sequence], Tensor]:
        """Computes a part of them; those N whose next logits are known now, and these logits (N, V)."""
        ...

    def release(self, sequence: Sequence) -> None:
        """The sequence needs its room no more."""
        ...


class FullWindowRunner:
    """Computes the whole window for every token, as the lecture does. All other ways are held to it, and it is
    right for models that have nothing to cache."""

    def __init__(self, model: CausalLM) -> None:
        self.model = model

    def admit(self, sequence: Sequence) -> bool:
        return True

    @torch.inference_mode()
    def run(self, sequences: list[Sequence]) -> tuple[list[Sequence], Tensor]:
        with evaluation_mode(self.model):
            logits = [self.logits(sequence) for sequence in sequences]
        ready = [row for row, sequence in enumerate(sequences) if sequence.end is None]
        return [sequences[row] for row in ready], torch.stack(logits).float().cpu()[ready]

    def logits(self, sequence: Sequence) -> Tensor:
        """The logits (V) behind its window. The prompt is described on the way, where it has to be."""
        window = torch.tensor([sequence.window()], device=self.model.device)  # (1, T)
        logits = self.model(window)[0][0]  # (T, V)
        if sequence.describes_prompt():
            sequence.take_prompt(logits)
        return logits[-1]

    def release(self, sequence: Sequence) -> None:
        pass


class PagedRunner:
    """Computes every token once, and keeps its keys and values in the blocks of a KV cache."""

    def __init__(self, step: DecodeStep, context_length: int, adapters: Collection[str] = ()) -> None:
        self.step = step
        self.context_length = context_length
        # The same ids have other keys and values with another adapter: nothing is shared between them.
        self.roots = {None: BEGINNING} | {name: -number for number, name in enumerate(adapters, start=1)}
        self.manager = BlockManager(step.blocks)
        self.is_short = False  # a sequence that was admitted waits for blocks
        self.budget = PrefillBudget()

    def admit(self, sequence: Sequence) -> bool:
        if self.is_short:
            return False  # first those that were admitted before
        self.allocate(sequence)
        return sequence.table is not None

    def run(self, sequences: list[Sequence]) -> tuple[list[Sequence], Tensor]:
        slots, ready, described = Slots(), [], []
        self.is_short = False
        writing = sum(map(self.is_writing, sequences))
        prompts = self.budget.tokens(writing)
        room = SLOTS_AT_ONCE if prompts is None else min(writing + prompts, SLOTS_AT_ONCE)
        try:
            for sequence in sequences:  # decoding goes before prefill: a token of each, then prompts
                first = len(slots.wanted)
                whole = self.add(slots, sequence, room)
                if sequence.describes_prompt() and len(slots.wanted) > first:
                    described.append((sequence, slice(first, len(slots.wanted))))
                if whole:
                    ready.append((sequence, len(slots.wanted) - 1))
            began = time.perf_counter()
            logits = self.step.logits(slots)
            self.budget.record(writing, len(slots.ids) - writing, time.perf_counter() - began)
            for sequence, rows in described:
                sequence.take_prompt(logits[rows])
            ready = [(sequence, row) for sequence, row in ready if sequence.end is None]
            if len(ready) < len(slots.wanted):
                logits = logits[[row for _, row in ready]]
            return [sequence for sequence, _ in ready], logits
        except BaseException:
            self.forget(sequences)  # the blocks may hold anything now
            raise

    def is_writing(self, sequence: Sequence) -> bool:
        """Whether one token of it is to be computed, the one that came last."""
        table, length = sequence.table, len(sequence.ids) - sequence.start
        return table is not None and table.computed == length - 1 < self.context_length and sequence.count > 0

    def add(self, slots: Slots, sequence: Sequence, room: int) -> bool:
        """As many of the sequence's new tokens as there are slots, `room` in all; True where its last one is
        among them."""
        is_full = len(sequence.ids) - sequence.start > self.context_length
        if sequence.table is None or is_full or sequence.table.computed == 0:
            self.allocate(sequence)  # where nothing is computed yet, another sequence may have the same prefix now
        if sequence.table is None:
            self.is_short = True
            return False  # others use what it freed, too: it goes on when there is room again
        window, computed = sequence.window(), sequence.table.computed
        new = window[computed : computed + max(room - len(slots.ids), 1)]
        whole = computed + len(new) == len(window)
        slots.add(
            new,
            computed,
            sequence.table.blocks,
            wants=whole,
            wants_all=sequence.describes_prompt(),
            adapter=sequence.request.adapter,
        )
        # Before they are there: sequences that come later in these slots find them, and within a layer all keys
        # and values are stored before any attention is computed.
        self.manager.computed(sequence.table, window, computed + len(new))
        return whole

    def allocate(self, sequence: Sequence) -> None:
        """Blocks for the window as it is now, in exchange for those that the sequence had."""
        self.release(sequence)
        sequence.start = window_start(len(sequence.ids), self.context_length)
        sequence.table = self.manager.allocate(
            sequence.window(),
            sequence.most_tokens_in_window(),
            root=self.roots[sequence.request.adapter],
            share=not sequence.describes_prompt(),
        )

    def release(self, sequence: Sequence) -> None:
        if sequence.table is not None:
            self.manager.free(sequence.table)
            sequence.table = None
        self.is_short = False  # as far as is known

    def forget(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            self.release(sequence)
        self.manager = BlockManager(self.step.blocks)
