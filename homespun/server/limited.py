"""Work that a client causes and that might take long: in a thread of its own, with an end.

A chat template is a program that came with a model, and a schema one that came with a request. A thread in Python
code is ended by an exception that is raised in it from outside; a library's own code has limits of its own.
What any thread hands over to asyncio, `settling` hands over.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from homespun.server.errors import ApiError

SECONDS = 10.0

T = TypeVar("T")


class Overdue(Exception):
    """Raised in the thread whose time is over: nobody waits for it any more."""


def settling(result: asyncio.Future[T], function: Callable[[], T]) -> Callable[[], None]:
    """For another thread to call: what the function returns or raises becomes the result."""
    loop = result.get_loop()

    def call() -> None:
        try:
            value = function()
        except Overdue:
            return
        except BaseException as error:  # noqa: BLE001  raised where it was asked for
            problem = error if isinstance(error, Exception) else RuntimeError(str(error))
            loop.call_soon_threadsafe(settle, result, None, problem)
        else:
            loop.call_soon_threadsafe(settle, result, value, None)

    return call


def settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if future.done():
        return  # who asked has gone
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


async def within(function: Callable[[], T], *, what: str, seconds: float = SECONDS) -> T:
    """What the function returns or raises. ApiError where that takes longer."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    thread = threading.Thread(target=settling(result, function), name="homespun-limited", daemon=True)
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
