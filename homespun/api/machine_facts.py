"""The facts that a plan is decided from: the text's n-gram baselines, and what this machine was measured to do."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from homespun.model.families import MODELS

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.planning.facts import Facts
    from homespun.planning.planner import Wishes
    from homespun.training.watcher import Watcher


def facts_of(dataset: Dataset, device: str, dtype: str, wishes: Wishes, watcher: Watcher) -> Facts:
    """The facts for the plan: n-gram baselines of the text; the machine, tested once and timed every time."""
    import psutil

    from homespun.dataset.ngrams import ngram_baselines
    from homespun.kernels.trusted_dtype import trusted_dtype
    from homespun.machine.device import choose_device, choose_dtype, compiler, memory_free, memory_of
    from homespun.planning.facts import Facts

    chosen = choose_device(device)
    computed_in = str(choose_dtype(dtype, chosen)).removeprefix("torch.")
    if dtype == "auto":  # a dtype that the user names is used without a test
        computed_in = trusted_dtype(str(chosen), computed_in, watcher.note)
    counted = ngram_baselines(dataset.train.ids, dataset.val.ids, dataset.vocab_size)
    facts = Facts(
        train_tokens=dataset.train.tokens,
        val_tokens=dataset.val.tokens,
        vocab_size=dataset.vocab_size,
        ngram_losses=counted.losses,
        static=counted.static,
        cached=counted.cached,
        device=str(chosen),
        dtype=computed_in,
        can_compile=chosen.type == "cuda" or (chosen.type == "cpu" and compiler() is not None),
    )
    if not MODELS[wishes.model].is_table:
        facts = timed(facts, wishes)
    # Looked at last: what was loaded for the timing stays loaded.
    return replace(
        facts,
        memory=memory_of(chosen),
        memory_free=memory_free(chosen),
        memory_used=psutil.Process().memory_info().rss,
    )


def timed(facts: Facts, wishes: Wishes) -> Facts:
    """The facts with the machine's speed.

    The speed of compiled steps takes seconds to measure, and is measured if the run is long enough to compile. For
    short runs a speed that was measured here before is good enough, because the run times itself. On a busy
    machine measuring takes long, and is limited to a share of the run's minutes.
    """
    from homespun.kernels.select import computes_step
    from homespun.machine.builds import wait_for_own_compilers
    from homespun.machine.jobs import wait_for_quiet
    from homespun.planning.planner import is_short, longest_wait, sample_config, wants_kernels, weighs_compiling
    from homespun.training.compiled import compiled_shapes
    from homespun.training.measured_speed import Memory, compiled, compiled_way, measured_speed, uncompiled_way

    deadline = time.monotonic() + longest_wait(wishes.minutes)
    memory = Memory(facts.device, facts.dtype)
    if wants_kernels(wishes) and computes_step(
        sample_config(wishes), facts.device, facts.dtype, deadline - time.monotonic()
    ):
        facts = replace(facts, kernels=True, can_compile=False)
    way = uncompiled_way(facts.kernels)
    speed = memory.speed(way) if is_short(wishes) else None
    if speed is None:
        wait_for_own_compilers(deadline - time.monotonic())  # a running compiler would distort the timing
        wait_for_quiet(max(0.0, min(2.0, deadline - time.monotonic())))
        speed = measured_speed(facts.device, facts.dtype, deadline - time.monotonic(), kernels=facts.kernels)
        memory.remember_speed(speed, way)
    facts = replace(facts, speed=speed.times(memory.correction(way)))
    if not (facts.can_compile and weighs_compiling(wishes)):
        return facts
    way = compiled_way(facts.device, facts.dtype, deadline - time.monotonic())
    return replace(
        facts,
        compiled_speed=compiled(speed, way).times(memory.correction(way)),
        compiled=compiled_shapes(facts.device, facts.dtype, wishes.model, facts.vocab_size),
    )
