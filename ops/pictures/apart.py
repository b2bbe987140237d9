"""Pictures drawn by a process of its own: what the drawing library takes, 50 MB, is given back when it ends.

The service asks with one object of JSON on standard input of `python -m ops.pictures.apart`; the answer is a line with
the length of each PNG, then the PNGs. Everything that is drawn is read from the home.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ops.pictures.album import Subject, draw_album
from ops.pictures.gathered import case_of
from ops.pictures.verdict import verdict_page
from trading.domain.errors import StateFileError, TradingEngineError
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository

LIMIT_S = 120.0
"""Real seconds; a summary is not kept waiting longer for its pictures."""
REFUSED = 2


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
        specs = StrategyRepository(home.strategies, repair=False).all()
        subject = Subject(home, specs, self.refused, self.tried, self.now_ms, self.start_quote, self.is_synthetic)
        return draw_album(subject)


class Page(_Asked):
    """The page of an approval; see `verdict.Case`."""

    spec_id: str
    paper: str
    refutation: str

    def draw(self) -> tuple[bytes, ...]:
        """Draw here; nothing without evidence."""
        case = case_of(Home(self.home), self.spec_id, paper=self.paper, refutation=self.refutation)
        return () if case is None else (verdict_page(case, is_synthetic=self.is_synthetic),)


KINDS: dict[str, type[Album] | type[Page]] = {kind.__name__: kind for kind in (Album, Page)}


def drawn(asked: Album | Page) -> tuple[bytes, ...]:
    """Have it drawn by a process of its own; for a worker thread.

    Raises:
        StateFileError: a file of state makes no sense, or the process was ended or took too long.
    """
    question = {"kind": type(asked).__name__, "asked": asked.model_dump(mode="json")}
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, input=json.dumps(question).encode(), capture_output=True, timeout=LIMIT_S)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise StateFileError(f"pictures: not drawn within {LIMIT_S:g} s; the machine is too busy") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise StateFileError(f"pictures: the process that draws was ended by {name}; is there memory enough?")
    if done.returncode == REFUSED:
        raise StateFileError(f"pictures: {done.stderr.decode(errors='replace').strip().splitlines()[-1]}")
    if done.returncode != 0:
        raise RuntimeError(f"pictures: {done.stderr.decode(errors='replace')}")  # a bug of ours
    head, _, body = done.stdout.partition(b"\n")
    found, at = list[bytes](), 0
    for length in json.loads(head):
        found.append(body[at : at + length])
        at += length
    return tuple(found)


def main() -> int:
    """Draw what standard input asks for."""
    answer, sys.stdout = sys.stdout.buffer, sys.stderr  # whoever logs or warns does not speak into the pictures
    question = json.loads(sys.stdin.buffer.read())
    try:
        found = KINDS[question["kind"]].model_validate(question["asked"]).draw()
    except TradingEngineError as error:
        print(error, file=sys.stderr)
        return REFUSED
    answer.write(json.dumps([len(one) for one in found]).encode() + b"\n" + b"".join(found))
    answer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
