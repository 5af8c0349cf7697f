"""A decoding step by the C++ library. See `slots.DecodeStep` for what it does."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homespun.kernels import native_library
from homespun.kernels.decoding.packing import LANES, Model, Packed, Work
from homespun.kernels.decoding.slots import BLOCK, Slots
from homespun.kernels.decoding.weights import weights_of
from homespun.machine.contention import check_contention
from homespun.machine.thread_count import ThreadCount
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT


@cache
def opened(path: Path) -> ctypes.CDLL | None:
    """The library, ready for use; None where it cannot be used here."""
    found = native_library.opened(path)
    if found is not None:
        found.step.argtypes = (ctypes.POINTER(Model), ctypes.POINTER(Work), ctypes.c_int)
        found.step.restype = None
        found.scratch_size.argtypes = (ctypes.POINTER(Model), ctypes.c_int, ctypes.c_int)
        found.scratch_size.restype = ctypes.c_int64
    return found


class NativeStep:
    """Weights of that kind, and room for so many blocks of keys and values.

    The logits of a slot depend on its own sequence alone, to the bit, whatever else is computed beside it, and
    with however many threads: at most as many as PyTorch has, and fewer where that is faster.
    float32: all in float32. bfloat16, int8: the inputs of a product are rounded as its weights are; the
    sums are float32, and whole numbers.
    """

    is_compiled = True

    def __init__(self, library: ctypes.CDLL, model: GPT, kind: str, blocks: int) -> None:
        self.library = library
        self.config: GPTConfig = model.config
        self.packed = Packed(model.config, weights_of(model), kind)
        self.blocks = blocks
        # Memory that nobody has written to takes none: the system hands it out as it is used.
        size = blocks * numbers_in_a_block(model.config) * bytes_per_number(kind)
        self.cache = np.zeros(size, dtype=np.uint8)
        self.scratch = np.zeros(0, dtype=np.uint8)
        self.thread_counts: dict[tuple[int, int], ThreadCount] = {}

    def logits(self, slots: Slots) -> Tensor:
        columns = self.config.vocab_size + -self.config.vocab_size % LANES
        logits = torch.empty(len(slots.wanted), columns)
        ids, positions, sequences, wanted = (
            np.array(numbers, dtype=np.int32)
            for numbers in (slots.ids, slots.positions, slots.sequences, slots.wanted)
        )
        longest = max(map(len, slots.block_tables))
        tables = np.array([table + [0] * (longest - len(table)) for table in slots.block_tables], dtype=np.int32)
        most = torch.get_num_threads()
        work = Work(
            slots=len(ids),
            blocks_of_a_sequence=longest,
            wants=len(wanted),
            ids=ids.ctypes.data,
            positions=positions.ctypes.data,
            sequences=sequences.ctypes.data,
            tables=tables.ctypes.data,
            wanted=wanted.ctypes.data,
            blocks=self.cache.ctypes.data,
            logits=logits.data_ptr(),
            scratch=self.room(len(ids), most),
        )
        with self.thread_count(len(ids), most).timed(check_contention()) as threads:
            self.library.step(self.packed.model, work, threads)
        return logits[:, : self.config.vocab_size]

    def thread_count(self, slots: int, most: int) -> ThreadCount:
        """That of steps with about so many slots: many of them are worth more threads than one is."""
        kind = slots.bit_length(), most
        if kind not in self.thread_counts:
            self.thread_counts[kind] = ThreadCount(most)
        return self.thread_counts[kind]

    def room(self, slots: int, threads: int) -> int:
        """The address of memory to work in, at a multiple of 64 bytes."""
        size = self.library.scratch_size(self.packed.model, slots, threads) + 64
        if self.scratch.size < size:
            self.scratch = np.zeros(size, dtype=np.uint8)
        return self.scratch.ctypes.data + -self.scratch.ctypes.data % 64


def numbers_in_a_block(config: GPTConfig) -> int:
    """Keys (D, 16) and values (16, D filled up to a multiple of 16), of every head in every layer."""
    width = config.head_width
    return config.n_layer * config.n_kv_head * BLOCK * (width + width + -width % LANES)


def bytes_per_number(kind: str) -> int:
    """Of a key or a value: float32 with such weights, else bfloat16."""
    return 4 if kind == "float32" else 2
