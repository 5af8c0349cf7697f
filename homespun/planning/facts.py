"""The facts about the text and the machine that a plan is computed from, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from homespun.planning.cost import Speed
from homespun.planning.expected_loss import Counted

# Seconds of training time that compiling costs. A step that was compiled before loads in 5 s, after about 7 s in
# which another process measures the loading time while training runs on one core fewer.
COMPILED_ALREADY, COMPILED_ANEW = 8.0, 47.0


@dataclass(frozen=True)
class Facts:
    """The prepared text, and the measurements of the machine.

    ladder          n-gram baselines of the text: losses in nats per token of unigrams, bigrams, trigrams, …
    static, cached  baselines with static counts, and with a cache of recent tokens (dataset/ngrams.py)
    kernels         whether native kernels compute a step of the family here without torch.compile
    speed           of the training step that is not compiled, with these kernels or eager (PyTorch, operation by
                    operation); None if not measured
    compiled_speed  of the compiled step; None if nothing compiles here, or if not measured
    compiling       seconds of training time that are lost if a step has to be compiled first
    compiled        shapes whose step is compiled already: n_layer, n_head, n_embd, context_length, sequences
    memory_free     bytes on the device; 0 if unknown
    memory_used     bytes that this program uses before training starts
    """

    train_tokens: int
    val_tokens: int
    vocab_size: int
    ngram_losses: tuple[float, ...] = ()
    static: float = 0.0
    cached: float = 0.0
    device: str = "cpu"
    dtype: str = "float32"
    kernels: bool = False
    can_compile: bool = False
    speed: Speed | None = None
    compiled_speed: Speed | None = None
    compiling: float = COMPILED_ANEW
    compiled: frozenset[tuple[float, ...]] = frozenset()
    memory: int = 0
    memory_free: int = 0
    memory_used: int = 0

    def without_compiling(self) -> Facts:
        """These facts for a run that compiles nothing."""
        return replace(self, compiled_speed=None)

    def once_compiled(self) -> Facts:
        """These facts for a run whose step was compiled before, whatever its shape."""
        return replace(self, compiling=COMPILED_ALREADY)

    @property
    def counted(self) -> Counted | None:
        """What counting reaches on the text; None where nobody has counted."""
        return Counted(min(self.ngram_losses), self.static, self.cached) if self.ngram_losses else None

    @property
    def uniform_loss(self) -> float:
        """ln V, nats per token: the loss of a uniform guess."""
        return math.log(self.vocab_size)

    def speed_of(self, compiled: bool) -> Speed | None:
        return self.compiled_speed if compiled and self.compiled_speed else self.speed


def kind_of(device: str) -> str:
    """The kind of a device, without its number: "cuda" of "cuda:1"."""
    return device.partition(":")[0]
