"""Pictures as the service asks for them: drawn by a process of its own, with which the drawing library's 50 MB go.

Everything that is drawn is read from the home.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ai_brain.paper.account import account_path
from ops.apart import apart
from ops.pictures.album import Subject, draw_album
from ops.pictures.gathered import case_of
from ops.pictures.verdict import verdict_page
from trading.domain.errors import FarmError
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec

LIMIT_S = 120.0
"""Real seconds; a summary is not kept waiting longer for its pictures."""


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    is_synthetic: bool


class Album(_Asked):
    """The pictures of a summary; see `album.Subject`."""

    refused: dict[str, int]
    tried: int
    now_ms: int
    start_quote: float

    def draw(self) -> tuple[bytes, ...]:
        """Draw here."""
        home = Home(self.home)
        subject = Subject(home, shown(home), self.refused, self.tried, self.now_ms, self.start_quote, self.is_synthetic)
        return draw_album(subject)


def shown(home: Home) -> list[StrategySpec]:
    """Every strategy that lives, or had an account on paper: what was retired before that is told by its count."""
    repository = StrategyRepository(home.strategies, repair=False)
    found = {spec.id: spec for spec in repository.living()}
    gone = (path.stem for path in account_path(home, "").parent.glob("*.json") if path.stem not in found)
    return [*found.values(), *(spec for name in sorted(gone) if (spec := repository.of_id(name)) is not None)]


class Page(_Asked):
    """The page of an approval; see `verdict.Case`."""

    spec_id: str
    paper: str
    refutation: str

    def draw(self) -> tuple[bytes, ...]:
        """Draw here; nothing without evidence."""
        case = case_of(Home(self.home), self.spec_id, paper=self.paper, refutation=self.refutation)
        return () if case is None else (verdict_page(case, is_synthetic=self.is_synthetic),)


async def drawn(asked: Album | Page) -> tuple[bytes, ...]:
    """Have it drawn by a process of its own.

    Raises:
        StateFileError: a file of state makes no sense.
        FarmError: the process was ended, or took too long.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            return await apart(draw, asked)
    except TimeoutError as error:
        raise FarmError(f"pictures: not drawn within {LIMIT_S:g} s; the machine is too busy") from error


def draw(asked: Album | Page) -> tuple[bytes, ...]:
    """Draw here."""
    return asked.draw()
