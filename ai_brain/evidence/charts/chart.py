"""A chart of a page, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing under its title."""

    title: str
    svg: str
    """An `<svg>` element that says in words what it shows."""
    caption: str
    """One sentence with its n and units; plain text."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A chart that cannot be drawn."""

    title: str
    why: str
    """One sentence; plain text."""
