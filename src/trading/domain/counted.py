"""A count with its noun, as a person reads it: `1 settlement`, `1,307 settlements`."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """The noun takes an s where there is not exactly one; thousands are set apart."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


class Count(int):
    """A whole number that words take in with its noun: `{settlements:settlement}`."""

    def __format__(self, spec: str) -> str:
        return counted(int(self), spec) if spec.replace(" ", "").isalpha() else format(int(self), spec)
