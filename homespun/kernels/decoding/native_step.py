"""A step by the compiled library. See `rows.Step` for what it does."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homespun.kernels.decoding.packing import LANES, Model, Packed, Work
from homespun.kernels.decoding.rows import PAGE, Rows
from homespun.kernels.decoding.weights import weights_of
from homespun.machine.contention import check_contention
from homespun.machine.thread_count import ThreadCount
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT


@cache
def opened(path: Path) -> ctypes.CDLL | None:
    """The library, ready for use; None where it cannot be used here."""
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        return None  # made for another system, or damaged: the plain way is as right
    found.step.argtypes = (ctypes.POINTER(Model), ctypes.POINTER(Work), ctypes.c_int)
    found.step.restype = None
    found.scratch_size.argtypes = (ctypes.POINTER(Model), ctypes.c_int, ctypes.c_int)
    found.scratch_size.restype = ctypes.c_int64
    return found if found.prepare() else None


class NativeStep:
    """Weights of that kind, and room for so many pages.

    What a row gives depends on its own text alone, to the bit, whatever else is computed beside it, and with
    however many threads: at most as many as PyTorch has, and fewer where that is faster.
    float32: all in float32. bfloat16, int8: the numbers that go into a product are rounded as its
    weights are; the sums are float32, and whole numbers.
    """

    is_compiled = True

    def __init__(self, library: ctypes.CDLL, model: GPT, kind: str, pages: int) -> None:
        self.library = library
        self.config: GPTConfig = model.config
        self.packed = Packed(model.config, weights_of(model), kind)
        self.pages = pages
        # Memory that nobody has written to takes none: the system hands it out page by page.
        self.kept = np.zeros(pages * numbers_in_a_page(model.config) * bytes_kept(kind), dtype=np.uint8)
        self.scratch = np.zeros(0, dtype=np.uint8)
        self.thread_counts: dict[tuple[int, int], ThreadCount] = {}

    def logits(self, rows: Rows) -> Tensor:
        columns = self.config.vocab_size + -self.config.vocab_size % LANES
        logits = torch.empty(len(rows.wanted), columns)
        ids, positions, texts, wanted = (
            np.array(numbers, dtype=np.int32) for numbers in (rows.ids, rows.positions, rows.texts, rows.wanted)
        )
        longest = max(map(len, rows.tables))
        tables = np.array([table + [0] * (longest - len(table)) for table in rows.tables], dtype=np.int32)
        most = torch.get_num_threads()
        work = Work(
            rows=len(ids),
            pages_of_a_text=longest,
            wants=len(wanted),
            ids=ids.ctypes.data,
            positions=positions.ctypes.data,
            texts=texts.ctypes.data,
            tables=tables.ctypes.data,
            wanted=wanted.ctypes.data,
            pages=self.kept.ctypes.data,
            logits=logits.data_ptr(),
            scratch=self.room(len(ids), most),
        )
        with self.thread_count(len(ids), most).timed(check_contention()) as threads:
            self.library.step(self.packed.model, work, threads)
        return logits[:, : self.config.vocab_size]

    def thread_count(self, rows: int, most: int) -> ThreadCount:
        """That of steps with about so many rows: many of them are worth more threads than one is."""
        kind = rows.bit_length(), most
        if kind not in self.thread_counts:
            self.thread_counts[kind] = ThreadCount(most)
        return self.thread_counts[kind]

    def room(self, rows: int, threads: int) -> int:
        """The address of memory to work in, at a multiple of 64 bytes."""
        size = self.library.scratch_size(self.packed.model, rows, threads) + 64
        if self.scratch.size < size:
            self.scratch = np.zeros(size, dtype=np.uint8)
        return self.scratch.ctypes.data + -self.scratch.ctypes.data % 64


def numbers_in_a_page(config: GPTConfig) -> int:
    """Keys (D, 16) and values (16, D filled up to a multiple of 16), of every head in every layer."""
    width = config.head_width
    return config.n_layer * config.n_kv_head * PAGE * (width + width + -width % LANES)


def bytes_kept(kind: str) -> int:
    """What one number of a key or a value takes: float32 beside such weights, else bfloat16."""
    return 4 if kind == "float32" else 2
