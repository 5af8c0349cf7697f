"""The engine for several threads: one of its own takes the steps, the others read.

with Background(Engine(model)) as engine:
    stream = engine.submit(request)   # from any thread
    for token in stream: ...          # waits; who reads slowly holds up nobody
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from homespun.generation.engine import Engine, Stream
from homespun.generation.request import Request
from homespun.generation.sequence import Token


class Background:
    """Takes steps while there is something to write, and sleeps while there is not."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.changed = threading.Condition()  # guards the engine and everything in it
        self.closed = False
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self.run, name="homespun-engine", daemon=True)
        self.thread.start()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(self, request: Request) -> BackgroundStream:
        """As Engine.submit."""
        with self.changed:
            stream = self.engine.submit(request)
            self.changed.notify_all()
        return BackgroundStream(self, stream)

    def close(self) -> None:
        """Ends the thread; streams that are not at their end are cancelled."""
        with self.changed:
            self.closed = True
            self.engine.cancel_all()
            self.changed.notify_all()
        self.thread.join()

    def run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.closed or self.engine.busy())
                if self.closed:
                    return
                try:
                    self.engine.step()
                except (
                    BaseException
                ) as error:  # raised for everyone who waits, instead of letting them wait for ever
                    self.failure = error
                    self.changed.notify_all()
                    raise
                self.changed.notify_all()


class BackgroundStream(Iterator[Token]):
    """A stream whose tokens another thread writes."""

    def __init__(self, background: Background, stream: Stream) -> None:
        self.background = background
        self.stream = stream

    def __next__(self) -> Token:
        with self.background.changed:
            self.background.changed.wait_for(self.has_something)
            if self.background.failure is not None and not self.stream.ready():
                raise RuntimeError("the engine has failed") from self.background.failure
            return next(self.stream)

    def has_something(self) -> bool:
        return self.stream.ready() or self.stream.ended() or self.background.failure is not None

    @property
    def finish_reason(self) -> str | None:
        return self.stream.finish_reason

    def cancel(self) -> None:
        with self.background.changed:
            self.stream.cancel()
            self.background.changed.notify_all()
