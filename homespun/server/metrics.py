"""Numbers for Prometheus, under vLLM's names with the prefix `homespun:`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from homespun.server.engines import Work
    from homespun.server.served import Served

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Of one server. Counters only grow; what is now is a gauge."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def made(kind: type, name: str, about: str, **settings: object):
            return kind(f"homespun:{name}", about, registry=self.registry, **settings)

        self.prompt_tokens = made(Counter, "prompt_tokens", "Tokens of prompts.")
        self.generation_tokens = made(Counter, "generation_tokens", "Tokens that were written.")
        self.ends = made(Counter, "request_success", "Texts that ended, by why.", labelnames=("finished_reason",))
        self.disconnects = made(Counter, "disconnects", "Clients that left before their answer was whole.")
        self.refusals = made(Counter, "requests_refused", "Requests that were refused.", labelnames=("status",))
        self.running = made(Gauge, "num_requests_running", "Texts that are being written.")
        self.waiting = made(Gauge, "num_requests_waiting", "Texts that wait.")
        self.cache = made(Gauge, "kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.")
        self.first = made(
            Histogram, "time_to_first_token_seconds", "From a request to its first token.", buckets=SECONDS
        )
        self.between = made(
            Histogram, "time_per_output_token_seconds", "Mean time between a text's tokens.", buckets=SECONDS
        )
        self.whole = made(
            Histogram, "e2e_request_latency_seconds", "From a request to its last token.", buckets=SECONDS
        )
        self.model = made(
            Gauge,
            "model_info",
            "1 for each model that is loaded.",
            labelnames=("name", "parameters", "context", "weights"),
        )

    def began(self, prompt_tokens: int) -> None:
        self.prompt_tokens.inc(prompt_tokens)

    def ended(self, work: Work, tokens: int, reason: str) -> None:
        """A text has ended, or nobody reads it any more ("cancelled")."""
        self.generation_tokens.inc(tokens)
        self.ends.labels(reason).inc()
        if work.first:
            self.first.observe(work.first - work.started)
            if work.count > 1:
                self.between.observe((work.last - work.first) / (work.count - 1))
        if reason != "cancelled":
            self.whole.observe(time.monotonic() - work.started)

    def text(self, loaded: list[Served]) -> bytes:
        """All of it, in Prometheus' own format."""
        engines = {served.engine for served in loaded}
        self.running.set(sum(len(engine.active) for engine in engines))
        self.waiting.set(sum(len(engine.waiting) for engine in engines))
        managers = [getattr(engine.runner, "manager", None) for engine in engines]
        shares = [1 - manager.free_blocks() / manager.number for manager in managers if manager and manager.number]
        self.cache.set(max(shares, default=0.0))
        self.model.clear()
        for served in loaded:
            model = served.engine.model
            labels = (served.id, model.number_of_parameters(), served.context_length, served.engine.weights)
            self.model.labels(*map(str, labels)).set(1)
        return generate_latest(self.registry)
