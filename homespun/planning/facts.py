"""What the plan rests on: facts about the text and the machine, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from homespun.planning.cost import Speed
from homespun.planning.expected_loss import Counted

# Seconds of training that compiling costs. What was compiled before is loaded in 5, after about 7 in which another
# process measures how long loading takes, and training goes on with one core fewer.
COMPILED_ALREADY, COMPILED_ANEW = 8.0, 47.0


@dataclass(frozen=True)
class Facts:
    """The text, as it was prepared, and the machine, as it was measured.

    ngram_losses    n-gram baselines of the text: losses in nats per token for n = 1, 2, 3, …
    static, cached  the best of it without what was guessed, and with a cache (dataset/ngrams.py)
    speed           of training as PyTorch does it, operation by operation; None where nobody has measured
    compiled_speed  of a compiled step; None where nothing compiles here, or where nobody has measured
    compiling       seconds of training that are lost where a step has to be compiled first
    compiled        shapes whose step is compiled already: n_layer, n_head, n_embd, context_length, sequences
    memory          bytes that the device has, and
    memory_free     that are free; 0 where nobody has looked
    memory_used     bytes of this program before it trains
    """

    train_tokens: int
    val_tokens: int
    vocab_size: int
    ngram_losses: tuple[float, ...] = ()
    static: float = 0.0
    cached: float = 0.0
    device: str = "cpu"
    dtype: str = "float32"
    can_compile: bool = False
    speed: Speed | None = None
    compiled_speed: Speed | None = None
    compiling: float = COMPILED_ANEW
    compiled: frozenset[tuple[float, ...]] = frozenset()
    memory: int = 0
    memory_free: int = 0
    memory_used: int = 0

    def without_compiling(self) -> Facts:
        """The same for a run that compiles nothing."""
        return replace(self, compiled_speed=None)

    def once_compiled(self) -> Facts:
        """The same for a run whose step was compiled before, whichever it is."""
        return replace(self, compiling=COMPILED_ALREADY)

    @property
    def counted(self) -> Counted | None:
        """What counting reaches on the text; None where nobody has counted."""
        return Counted(min(self.ngram_losses), self.static, self.cached) if self.ngram_losses else None

    def speed_of(self, compiled: bool) -> Speed | None:
        return self.compiled_speed if compiled and self.compiled_speed else self.speed
