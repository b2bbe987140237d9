"""Whether what runs now reads history in bulk: its requests give way to what the running lab asks.

Both ask the same endpoints, so the difference is who asks; a request finds it in the context of its task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

IN_BULK: ContextVar[bool] = ContextVar("in_bulk", default=False)


@contextmanager
def in_bulk() -> Iterator[None]:
    """What is asked within is pages of history."""
    token = IN_BULK.set(True)
    try:
        yield
    finally:
        IN_BULK.reset(token)
