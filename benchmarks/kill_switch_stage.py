"""The stage of the kill switch's trials: the tests' world, and a home whose carry trades without pause between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ops.world import World, furnish, open_world
from trading.domain.errors import DataProviderError
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class Stage:
    """The sandbox and the home that points at it."""

    world: World
    home: Home

    @contextmanager
    def process(self, *words: str, says: str) -> Iterator[subprocess.Popen[str]]:
        """A process of this home, from the moment its first line begins with `says` until the block ends.

        Raises:
            DataProviderError: it ended, or said something else.
        """
        environment = {**os.environ, "LAB_HOME": str(self.home.root)}
        log = self.home.logs / "trials.err"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *words], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith(says):
                said = log.read_text().strip()[-500:]
                raise DataProviderError(f"{' '.join(words)}: said {line.strip()!r} where {says!r} was due: {said}")
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def open_stage(folder: Path) -> Iterator[Stage]:
    """A sandbox at the speed of life on a new market, and an empty home with keys for it."""
    home = Home(folder / "home").make()
    world = open_world(folder / "tape", scale=1.0)
    try:
        furnish(home, world.url)
        settings = home.settings_file.read_text().replace("{maker_budget_s: 20}", "{maker_budget_s: 0.5, poll_s: 0.2}")
        home.settings_file.write_text(
            f"{settings}risk: {{cooldown_after_fill_s: 0, cooldown_after_loss_s: 0, live_scale_pct: 100, "
            "trades_per_day: 1000}\nguardian: {look_s: 1.0}\n"
        )
        yield Stage(world, home)
    finally:
        world.close()
