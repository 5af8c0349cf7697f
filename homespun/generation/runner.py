"""How the engine comes to the logits of next tokens: from the whole window each time, or with a KV cache."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from homespun.generation.kv_blocks import BlockManager
from homespun.generation.sequence import Sequence
from homespun.generation.window import window_start
from homespun.kernels.decoding.slots import DecodeStep, Slots
from homespun.model.causal_lm import CausalLM
from homespun.model.mode import evaluation_mode

SLOTS_AT_ONCE = 256  # the prefill of a long prompt is cut into chunks, and other sequences go on in between


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
        windows = (torch.tensor([sequence.window()], device=self.model.device) for sequence in sequences)
        with evaluation_mode(self.model):
            logits = [self.model(window)[0][0, -1] for window in windows]  # (1, T, V) -> (V)
        return list(sequences), torch.stack(logits).float().cpu()

    def release(self, sequence: Sequence) -> None:
        pass


class PagedRunner:
    """Computes every token once, and keeps its keys and values in the blocks of a KV cache."""

    def __init__(self, step: DecodeStep, context_length: int) -> None:
        self.step = step
        self.context_length = context_length
        self.manager = BlockManager(step.blocks)
        self.is_short = False  # a sequence that was admitted waits for blocks

    def admit(self, sequence: Sequence) -> bool:
        if self.is_short:
            return False  # first those that were admitted before
        self.allocate(sequence)
        return sequence.table is not None

    def run(self, sequences: list[Sequence]) -> tuple[list[Sequence], Tensor]:
        slots, ready = Slots(), []
        self.is_short = False
        try:
            for sequence in sequences:  # decoding goes before prefill: a token of each, then prompts
                if self.add(slots, sequence):
                    ready.append(sequence)
            return ready, self.step.logits(slots)
        except BaseException:
            self.forget(sequences)  # the blocks may hold anything now
            raise

    def add(self, slots: Slots, sequence: Sequence) -> bool:
        """As many of the sequence's new tokens as there are slots; True where its last one is among them."""
        is_full = len(sequence.ids) - sequence.start > self.context_length
        if sequence.table is None or is_full or sequence.table.computed == 0:
            self.allocate(sequence)  # where nothing is computed yet, another sequence may have the same prefix now
        if sequence.table is None:
            self.is_short = True
            return False  # others use what it freed, too: it goes on when there is room again
        window, computed = sequence.window(), sequence.table.computed
        new = window[computed : computed + max(SLOTS_AT_ONCE - len(slots.ids), 1)]
        whole = computed + len(new) == len(window)
        slots.add(new, computed, sequence.table.blocks, wants=whole)
        # Before they are there: sequences that come later in these slots find them, and within a layer all keys
        # and values are stored before any attention is computed.
        self.manager.computed(sequence.table, window, computed + len(new))
        return whole

    def allocate(self, sequence: Sequence) -> None:
        """Blocks for the window as it is now, in exchange for those that the sequence had."""
        self.release(sequence)
        sequence.start = window_start(len(sequence.ids), self.context_length)
        sequence.table = self.manager.allocate(sequence.window(), sequence.most_tokens_in_window())

    def release(self, sequence: Sequence) -> None:
        if sequence.table is not None:
            self.manager.free(sequence.table)
            sequence.table = None
        self.is_short = False  # as far as is known

    def forget(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            self.release(sequence)
        self.manager = BlockManager(self.step.blocks)
