"""Work for the processor, off the event loop and without holding up the end: a daemon thread a piece of work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")


async def think(work: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """Run `work` in a thread of its own and give what it returns or raises.

    `asyncio.to_thread` would do, were its threads not waited for when the process ends: a compilation that has just
    begun must not keep the service from ending within its seconds. What is cut off wrote nothing yet. Work that lasts
    and can be sent away belongs into a process of its own: `ops.apart`.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Found] = loop.create_future()

    def settle(result: Found | None, error: BaseException | None) -> None:
        if found.cancelled():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result, problem = None, None
        try:
            result = work(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            problem = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=run, name=f"think:{getattr(work, '__name__', 'work')}", daemon=True).start()
    return await found
