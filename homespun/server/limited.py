"""Work that a client causes and that might take long: in a thread of its own, with an end.

A chat template is a program that came with a model, and a schema one that came with a request. A thread in Python
code is ended by an exception that is raised in it from outside; a library's own code has limits of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

from homespun.server.engines import settle
from homespun.server.errors import ApiError

SECONDS = 10.0

T = TypeVar("T")


class Overdue(Exception):
    """Raised in the thread whose time is over."""


async def within(function: Callable[[], T], *, what: str, seconds: float = SECONDS) -> T:
    """What the function returns or raises. ApiError where that takes longer."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            value = function()
        except Overdue:
            return
        except Exception as error:  # noqa: BLE001  raised where it was asked for
            loop.call_soon_threadsafe(settle, result, None, error)
        else:
            loop.call_soon_threadsafe(settle, result, value, None)

    thread = threading.Thread(target=run, name="homespun-limited", daemon=True)
    thread.start()
    try:
        return await asyncio.wait_for(asyncio.shield(result), seconds)
    except asyncio.TimeoutError:
        raise ApiError(
            f"{what} took longer than {seconds:g} s and was stopped.", "Send less, or something simpler."
        ) from None
    finally:
        if not result.done() and thread.ident is not None:
            result.cancel()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Overdue))
