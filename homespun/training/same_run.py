"""Before the first step: all processes have the same plan, the same text and the same batches."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable

from homespun.errors import TrainingError
from homespun.training.objective import Objective, P
from homespun.training.world import World

BATCHES = (0, 1, 10**6)  # by their steps: enough to notice shards of another text, or in another order


def check_same_run(world: World, plan: P, objective_of: Callable[[P], Objective[P]]) -> None:
    """TrainingError, on all ranks, that names the processes that would train on something else than rank 0."""
    if world.size == 1:
        return
    objective = objective_of(plan)
    mine = {
        "host": socket.gethostname(),
        "text": plan.text_key[:12],
        "tokens of vocabulary": objective.vocab_size,
        "tokens of validation text": objective.val_tokens,
        "batches": hash_of_batches(objective),
        "plan": hashlib.sha256(plan.with_(text_key="").toml().encode()).hexdigest()[:12],
    }
    heard = world.every(mine)
    first = heard[0]
    for rank, other in enumerate(heard):
        for name, value in first.items():
            if name != "host" and other[name] != value:
                raise TrainingError(
                    f"Rank {rank} on {other['host']} has another {name} than rank 0 on {first['host']}: "
                    f"{other[name]} instead of {value}.",
                    "All computers need the same text, byte for byte, and the same command. Copy the text there.",
                )


def hash_of_batches(objective: Objective[P]) -> str:
    whole = hashlib.sha256()
    for step in BATCHES:
        for tensor in objective.batch(step):
            whole.update(tensor.numpy().tobytes())
    return whole.hexdigest()[:12]
