"""Pictures for the documents, made by the lab of what a lab did: `python -m benchmarks.page_pictures demo-001 docs`.

The pictures of messages are of the home that a demo has left (`./lab demo --keep`). The screens of the page, as a
headless Chromium shows them, are of its last weekly archive, made while it held a carry; this command stands in for the
service meanwhile, so that the page says it runs. Colours are brought down to 96, which halves the files unseen.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ai_brain.evidence.graveyard import Graveyard
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.learning_db import LearningDb
from benchmarks.page import PORT, serving_page
from benchmarks.page_browser import browser, find_browser
from ops.approve_strategy import paper_in_words
from ops.pictures.album import Subject, draw_album
from ops.pictures.gathered import case_of
from ops.pictures.verdict import verdict_page
from trading.domain.clock import Clock
from trading.storage.files import read_json
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository

COLOURS = 96
ALBUM = ("message-equity.png", "message-carry.png", "message-funnel.png")


@dataclass(frozen=True, slots=True)
class Shot:
    """One screen: which view, on what, and how much of it from the top."""

    file: str
    path: str
    width: int
    height: int
    dark: bool = False

    @property
    def is_phone(self) -> bool:
        """Narrow, and touched."""
        return self.width < 600


SHOTS = (
    Shot("page-overview.png", "", 1120, 682),
    Shot("page-funding-dark.png", "funding", 1120, 900, dark=True),
    Shot("page-risk.png", "risk", 1120, 612),
    Shot("page-overview-phone.png", "", 390, 844),
    Shot("page-strategies-phone-dark.png", "strategies", 390, 844, dark=True),
)


def small(png: bytes) -> bytes:
    """The same picture with fewer colours."""
    out = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def while_it_held(home: Home, folder: Path) -> Home:
    """The home of the last weekly archive, with the recorded market beside it."""
    archive = max((home.root / "backups").glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (folder / "market").mkdir(exist_ok=True)
    for shelf in (home.root / "market").iterdir():
        if not (folder / "market" / shelf.name).exists():  # the archive has what cannot be fetched again
            (folder / "market" / shelf.name).symlink_to(shelf)
    return Home(folder).make()


async def screens(home: Home, folder: Path, chromium: str) -> None:
    """Each screen of the page, by a browser of its own: what one was shown before must not colour the next."""
    home.heartbeat_file.touch()
    with only_one(home.lock_file, what="the lab"):
        await _screens(home, folder, chromium)


async def _screens(home: Home, folder: Path, chromium: str) -> None:
    async with serving_page(home):
        for shot in SHOTS:
            async with browser(chromium) as tab_of, tab_of() as tab:
                await tab.look_like(width=shot.width, height=shot.height, dark=shot.dark, is_phone=shot.is_phone)
                await tab.open(f"http://127.0.0.1:{PORT}/{shot.path}")
                await tab.until("performance.getEntriesByName('drawn').length > 0", f"{shot.file}: drawn")
                file = folder / shot.file
                await tab.picture(file, most_px=shot.height)
                file.write_bytes(small(file.read_bytes()))


def messages(home: Home, folder: Path) -> None:
    """The album of a summary and the page of a verdict."""
    specs = StrategyRepository(home.strategies).all()
    beat, start = read_json(home.heartbeat_file, schema=1), read_json(home.state / "live_start.json", schema=1)
    db = LearningDb(home.learning_db)
    try:
        refused, tried = Graveyard(db, Clock()).count_by_reason(), TrialLedger(db, Clock()).count()
    finally:
        db.close()
    is_synthetic = beat["market"] == "synthetic"
    at_ms, start_quote = int(str(beat["at_ms"])), float(str(start["equity_quote"]))
    album = draw_album(Subject(home, specs, refused, tried, at_ms, start_quote, is_synthetic))
    for name, png in zip(ALBUM, album, strict=True):
        (folder / name).write_bytes(small(png))
    live = next(spec for spec in specs if spec.stage is Stage.LIVE_TESTING)
    shown = live.performance.dry_run
    case = case_of(home, live.id, paper=paper_in_words(shown), refutation=live.origin.refutation)
    if case is not None:
        (folder / "message-verdict.png").write_bytes(small(verdict_page(case, is_synthetic=is_synthetic)))


def main() -> int:
    """Write them, and say how large they are."""
    parser = argparse.ArgumentParser(prog="benchmarks.page_pictures")
    parser.add_argument("home", type=Path, help="what a demo has left: ./lab demo --keep")
    parser.add_argument("folder", type=Path, help="where the pictures go, such as docs")
    options = parser.parse_args()
    chromium = find_browser()
    if chromium is None:
        print("no chromium here: apt-get install chromium", file=sys.stderr)
        return 1
    home = Home(options.home.resolve())
    messages(home, options.folder)
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(screens(while_it_held(home, Path(scratch)), options.folder, chromium))
    for file in sorted([*options.folder.glob("page-*.png"), *options.folder.glob("message-*.png")]):
        print(f"{file.stat().st_size / 1000:6.0f} kB  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
