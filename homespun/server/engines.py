"""One thread takes the steps of all engines; asyncio gets the tokens through a bridge, without a thread a request.

    works = [Work(engine, request, event)]
    await engines.submit(works, queue=100)   # raises what the engine says against them
    await event.wait()                       # something is new: work.taken(), work.ended, work.error

Everything that concerns an engine happens in that thread, between two steps. Tokens go over together, the first
and the last of a text at once and others at most every 10 ms: a small model is faster than a wire.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from homespun.errors import HomespunError
from homespun.generation.engine import Engine, Stream
from homespun.generation.request import Request
from homespun.generation.sequence import Token
from homespun.server.errors import ApiError, as_api_error, stopping
from homespun.server.limited import settle, settling

# Seconds between two deliveries while nothing begins or ends. python -m benchmarks.serving measures what it costs.
INTERVAL = 0.01
RECENT = 50  # texts whose times a forecast of the wait is made from
LONGEST_WAIT = 600  # seconds that a client is asked to wait at most

T = TypeVar("T")
log = logging.getLogger("homespun.serve")


class Work:
    """One text on its way. All of it belongs to asyncio's thread, but for `stream`, `read` and `place`.

    event          set whenever something is new; several texts may share one
    prompt_tokens  all of the prompt's, once they are described
    before         how many texts wait before it
    started, first, last   when it was submitted, and when its first and its last token came: time.monotonic
    """

    def __init__(self, engine: Engine, request: Request, event: asyncio.Event) -> None:
        self.engine = engine
        self.request = request
        self.event = event
        self.loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = self.loop.create_future()
        self.tokens: list[Token] = []
        self.count = 0
        self.prompt_tokens: list[Token] = []
        self.ended = False
        self.finish_reason: str | None = None
        self.error: HomespunError | None = None
        self.before = 0
        self.started = time.monotonic()
        self.first = self.last = 0.0
        self.stream: Stream | None = None
        self.read = self.place = 0

    def taken(self) -> list[Token]:
        """The tokens that have come since the last call."""
        tokens, self.tokens = self.tokens, []
        return tokens


class News:
    """What the thread tells of one text: `read` is how many tokens it has by now."""

    def __init__(self, work: Work, stream: Stream, before: int = 0) -> None:
        self.work = work
        self.tokens = stream.sequence.tokens[work.read :]
        self.ended = stream.ended()
        self.finish_reason = stream.finish_reason
        self.error = stream.sequence.error
        self.prompt_tokens = stream.sequence.prompt_tokens if self.tokens or self.ended else []
        self.before = before


class Engines:
    """The thread, and the texts that it writes."""

    def __init__(self) -> None:
        self.condition = threading.Condition()  # guards inbox and closed
        self.inbox: deque[Callable[[], None]] = deque()
        self.closed = False
        self.works: dict[Engine, list[Work]] = {}  # the thread's
        self.delivered = 0.0
        self.live: set[Work] = set()  # asyncio's: texts that have not ended
        self.texts: Counter[Engine] = Counter()  # asyncio's: how many of them each engine has
        self.durations: deque[float] = deque(maxlen=RECENT)
        self.thread = threading.Thread(target=self.run, name="homespun-engines", daemon=True)
        self.thread.start()

    # ---- in asyncio's thread ----

    async def submit(self, works: Sequence[Work], *, queue: int) -> None:
        """Has texts of one engine written, all or none. Raises ApiError 429 where more than `queue` would wait,
        and what Engine.submit raises."""
        engine = works[0].engine
        waiting = self.texts[engine] + len(works) - engine.streams
        if waiting > queue:
            raise self.is_full(engine, len(works), queue)
        for work in works:
            self.live.add(work)
            self.texts[engine] += 1
        self.post(lambda: self.begin(works))
        try:
            await asyncio.gather(*(work.accepted for work in works))
        except BaseException:
            self.cancel(works)
            raise

    def is_full(self, engine: Engine, count: int, queue: int) -> ApiError:
        if count > engine.streams + queue:
            return ApiError(
                f"The request asks for {count:,} texts; the server takes {engine.streams + queue:,} at once.",
                "Send several requests with fewer prompts, or a smaller n.",
            )
        waiting = max(self.texts[engine] - engine.streams, 0)
        seconds = self.expected_wait(engine, waiting + 1)
        return ApiError(
            f"{waiting:,} texts are waiting already, and {engine.streams:,} are being written.",
            f"Ask again in {seconds} s: by then there should be room.",
            status=429,
            kind="rate_limit_error",
            code="queue_full",
            headers={"retry-after": str(seconds)},
        )

    def expected_wait(self, engine: Engine, places: int) -> int:
        """Seconds until so many places of the queue are free, by how long recent texts took."""
        if not self.durations:
            return 1
        mean = sum(self.durations) / len(self.durations)
        return min(max(math.ceil(mean * places / engine.streams), 1), LONGEST_WAIT)

    def cancel(self, works: Iterable[Work], error: HomespunError | None = None) -> None:
        """Has no more of them written; `error` is then what ended them."""
        works = [work for work in works if not work.ended]
        for work in works:
            self.end(work, "cancelled", error)
        self.post(lambda: self.stop(works))

    async def call(self, function: Callable[[], T]) -> T:
        """What the function returns; it is called between two steps."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.post(settling(result, function))
        return await result

    def deliver(self, news: list[News]) -> None:
        now = time.monotonic()
        for one in news:
            work = one.work
            work.before = one.before
            if work.ended:
                continue  # it was cancelled meanwhile
            if one.tokens or one.ended:
                work.prompt_tokens = one.prompt_tokens
            if one.tokens:
                work.first = work.first or now
                work.last = now
                work.tokens += one.tokens
                work.count += len(one.tokens)
            if one.ended:
                self.end(work, one.finish_reason, one.error)
            work.event.set()

    def end(self, work: Work, finish_reason: str | None, error: HomespunError | None) -> None:
        work.ended = True
        work.finish_reason = finish_reason
        work.error = error
        self.live.discard(work)
        self.texts[work.engine] -= 1
        if not self.texts[work.engine]:
            del self.texts[work.engine]  # a model that was let go is kept by nobody
        if work.first and finish_reason != "cancelled":
            self.durations.append(time.monotonic() - work.first)
        if not work.accepted.done():
            work.accepted.set_exception(error or stopping())
            work.accepted.exception()  # it has been looked at, whoever waits for it
        work.event.set()

    def is_writing(self, engine: Engine) -> bool:
        return self.texts[engine] > 0

    async def close(self) -> None:
        """Ends all texts, and the thread."""
        self.cancel(list(self.live), stopping())
        with self.condition:
            self.closed = True
            self.condition.notify()
        while self.thread.is_alive():
            await asyncio.sleep(0.005)

    # ---- between the two ----

    def post(self, command: Callable[[], None]) -> None:
        with self.condition:
            self.inbox.append(command)
            self.condition.notify()

    # ---- in the engines' thread ----

    def run(self) -> None:
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.closed or self.inbox or self.works)
                commands, self.inbox = self.inbox, deque()
                if self.closed and not commands:
                    return
            while commands:
                commands.popleft()()  # and is forgotten: an engine that was let go is kept by nobody
            for engine in list(self.works):
                self.step(engine)
            self.tell()

    def begin(self, works: Sequence[Work]) -> None:
        for work in works:
            try:
                work.stream = work.engine.submit(work.request)
            except Exception as error:  # noqa: BLE001  raised where it was asked for
                in_loop(work.loop, settle, work.accepted, None, as_error(error))
            else:
                self.works.setdefault(work.engine, []).append(work)
                in_loop(work.loop, settle, work.accepted, None, None)

    def stop(self, works: Sequence[Work]) -> None:
        for work in works:
            if work.stream is not None:
                work.stream.cancel()
                self.forget(work)

    def forget(self, work: Work) -> None:
        works = self.works.get(work.engine, [])
        if work in works:
            works.remove(work)
        if not works:
            self.works.pop(work.engine, None)

    def step(self, engine: Engine) -> None:
        try:
            engine.step()
        except Exception as error:  # a bug of ours: it ends these texts, and not the server
            log.exception("an engine failed")
            for work in self.works[engine]:
                assert work.stream is not None
                work.stream.sequence.error = as_error(error)
            engine.cancel_all()
            engine.runner = None

    def tell(self) -> None:
        """Hands over what is new. Where a text begins or ends at once, otherwise not too often."""
        now = time.monotonic()
        is_due = now - self.delivered >= INTERVAL
        news: list[News] = []
        for engine, works in list(self.works.items()):
            places = {id(sequence): place for place, sequence in enumerate(engine.waiting)}
            for work in list(works):
                stream = work.stream
                assert stream is not None
                count, place = len(stream.sequence.tokens), places.get(id(stream.sequence), 0)
                if (
                    stream.ended()
                    or (count and not work.read)
                    or (is_due and (count > work.read or place != work.place))
                ):
                    news.append(News(work, stream, place))
                    work.read, work.place = count, place
                    if stream.ended():
                        self.forget(work)
        if is_due:
            self.delivered = now
        if news:
            in_loop(news[0].work.loop, self.deliver, news)


def in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Has asyncio's thread call something. A loop that a second Ctrl-C has closed has nobody left to call."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def as_error(error: Exception) -> HomespunError:
    return error if isinstance(error, HomespunError) else as_api_error(error)
