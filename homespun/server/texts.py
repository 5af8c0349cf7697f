"""The texts of one request, as they come from the engine: pieces with the number of the text they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from homespun.server.asked import Asked, usage_of
from homespun.server.engines import Engines, Work
from homespun.server.metrics import Metrics
from homespun.server.served import Served
from homespun.server.written import Piece, Written, prompt_piece

BEAT = 5.0  # seconds of silence after which a stream says that it is alive


@dataclass
class News:
    """A piece of text number `index`; with its end, why it ended. index -1: nothing new, `before` texts wait."""

    index: int
    piece: Piece
    finish_reason: str | None = None
    before: int = 0


class Texts:
    """
    shows_prompt   the prompt stands before each text (echo)
    """

    def __init__(
        self, engines: Engines, metrics: Metrics, served: Served, asked: Asked, *, shows_prompt: bool = False
    ) -> None:
        self.engines = engines
        self.metrics = metrics
        self.served = served
        self.asked = asked
        self.shows_prompt = shows_prompt
        self.event = asyncio.Event()
        self.works = [Work(served.engine, request, self.event) for request in asked.requests]
        prompts = [asked.prompt_of(index) for index in range(len(self.works))]
        self.written = [
            Written(served, prompt.ids[prompt.unseen :], asked.stop, len(prompt.text) if shows_prompt else 0)
            for prompt in prompts
        ]
        self.pending = set(range(len(self.works)))

    async def begin(self, queue: int) -> None:
        """Raises ApiError where the queue is full, and what the engine says against a request."""
        await self.engines.submit(self.works, queue=queue)
        self.metrics.began(sum(len(prompt.ids) for prompt in self.asked.prompts))

    async def news(self) -> AsyncIterator[News]:
        """All of it, in the order in which it comes. Raises what ended a text. Whoever stops reading ends them."""
        try:
            if self.shows_prompt and self.asked.requests[0].prompt_alternatives is None:
                for index in sorted(self.pending):
                    yield News(index, Piece(self.asked.prompt_of(index).text))
            while self.pending:
                # No wait_for: before Python 3.12 it may swallow a cancellation that comes with an event.
                beat = asyncio.get_running_loop().call_later(BEAT, self.event.set)
                try:
                    await self.event.wait()
                finally:
                    beat.cancel()
                self.event.clear()
                is_silent = True
                for index in sorted(self.pending):
                    news = self.news_of(index)
                    if news is not None:
                        is_silent = False
                        yield news
                if is_silent:
                    yield News(-1, Piece(), before=max(self.works[index].before for index in self.pending))
        finally:
            self.stop()

    def news_of(self, index: int) -> News | None:
        work, written = self.works[index], self.written[index]
        had_none = not written.count
        tokens = work.taken()
        if work.error is not None:
            raise work.error
        piece = Piece()
        describes = work.request.prompt_alternatives is not None
        if self.shows_prompt and describes and had_none and (tokens or work.ended):
            prompt = self.asked.prompt_of(index)
            piece += prompt_piece(self.served, prompt.text, work.prompt_tokens, prompt.unseen)
        piece += written.push(tokens)
        reason = None
        if written.is_stopped:
            reason = "stop"
            self.engines.cancel([work])
        elif work.ended:
            piece += written.flush()
            reason = work.finish_reason
        if reason is not None:
            self.pending.discard(index)
            self.metrics.ended(work, written.count, reason)
        return News(index, piece, reason) if piece.text or piece.tokens or reason else None

    def stop(self) -> None:
        """Ends those that go on: nobody reads them."""
        for index in self.pending:
            self.metrics.ended(self.works[index], self.written[index].count, "cancelled")
        self.engines.cancel([self.works[index] for index in self.pending])
        self.pending.clear()

    async def whole(self) -> list[tuple[Piece, str]]:
        """Each text, whole, and why it ended."""
        pieces = [Piece() for _ in self.works]
        reasons = ["length"] * len(self.works)
        async for news in self.news():
            if news.index >= 0:
                pieces[news.index] += news.piece
                reasons[news.index] = news.finish_reason or reasons[news.index]
        return list(zip(pieces, reasons, strict=True))

    def usage(self) -> dict[str, object]:
        return usage_of(self.asked.prompts, sum(written.count for written in self.written))
