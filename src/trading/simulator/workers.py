"""Work spread over threads, or done on the spot where it is too little to hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Each(Protocol):
    """Does something with each of many, in any order; returns what came of it in theirs."""

    def __call__(self, work: Callable[[A], R], over: Iterable[A], /) -> list[R]:
        """Raises what the work raises."""
        ...


def one_by_one(work: Callable[[A], R], over: Iterable[A], /) -> list[R]:
    """On the caller's thread."""
    return [work(item) for item in over]


@contextmanager
def workers(threads: int) -> Iterator[Each]:
    """So many threads until the block ends; with one, the caller's own."""
    if threads == 1:
        yield one_by_one
        return
    with ThreadPoolExecutor(threads) as pool:

        def each(work: Callable[[A], R], over: Iterable[A], /) -> list[R]:
            return list(pool.map(work, over))

        yield each
