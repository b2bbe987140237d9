"""The outside world on loopback, as a process of its own: started, driven in time, asked what it saw, ended."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.resident import peak_rss_mb
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError

START_LIMIT_S = 20.0
"""Real seconds; a sandbox that has not answered by then will not."""
API_KEY, API_SECRET = "sandbox-key", "sandbox-secret"
"""What the sandbox exchange accepts; they open nothing else."""


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """What to replay."""

    tape: Path
    """Folder in the layout of recorded data."""
    symbols: Sequence[str]
    start_ms: int
    """Lab time at the start."""
    seed: int
    gemini_script: Path | None = None
    feed: Path | None = None
    spot_usdt: float = 10_000.0
    futures_usdt: float = 10_000.0


class SandboxProcess:
    """A running sandbox. Open with `start`, end with `close`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=10.0)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, plan: SandboxPlan) -> SandboxProcess:
        """Start it and wait until it answers.

        Raises:
            DataProviderError: it did not start; carries what it said.
        """
        words = ["--tape", str(plan.tape), "--start", str(plan.start_ms), "--seed", str(plan.seed), "--with-parent"]
        words += [word for symbol in plan.symbols for word in ("--symbol", symbol)]
        words += ["--spot-usdt", str(plan.spot_usdt), "--futures-usdt", str(plan.futures_usdt)]
        words += ["--gemini-script", str(plan.gemini_script)] if plan.gemini_script else []
        words += ["--feed", str(plan.feed)] if plan.feed else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        if process.stdout is None or process.stderr is None:
            raise DataProviderError("sandbox: started without pipes")
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
        except TimeoutError:
            process.kill()
            line = b""
        if not line:
            said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
            await process.wait()
            raise DataProviderError(f"sandbox did not start: {said[-1] if said else 'no word'}")
        return cls(process, str(json.loads(line)["url"]))

    async def set_pace(
        self, clock: Clock, scale: float, *, until_ms: float | None = None, scale_after: float = 1.0
    ) -> None:
        """Bend time: first in the sandbox, then in the lab, along the same line."""
        answer = await self._http.post(
            "/sandbox/clock", json={"scale": scale, "until_ms": until_ms, "scale_after": scale_after}
        )
        answer.raise_for_status()
        clock.follow(timeline_of(answer.json()))

    async def follow(self, clock: Clock) -> None:
        """Make the lab's clock follow the sandbox's present line."""
        clock.follow(timeline_of(await self.ask("/sandbox/clock")))

    async def ask(self, path: str) -> dict[str, object]:
        """A witness endpoint's answer: `/sandbox/seen`, `/sandbox/ledger`, `/sandbox/clock`."""
        answer = await self._http.get(path)
        answer.raise_for_status()
        data: dict[str, object] = answer.json()
        return data

    async def chat(self) -> list[dict[str, object]]:
        """Every message that reached the Telegram chat, oldest first."""
        answer = await self._http.get("/sandbox/telegram")
        answer.raise_for_status()
        messages: list[dict[str, object]] = answer.json()
        return messages

    async def rss_mb(self) -> float:
        """Its resident memory at the highest, MB."""
        return peak_rss_mb(self.pid)

    async def close(self) -> None:
        """End it; kill after two real seconds."""
        await self._http.aclose()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 2.0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


def timeline_of(answer: dict[str, object]) -> Timeline:
    """The sandbox's answer as the lab's timeline."""

    def number(key: str) -> float:
        return float(str(answer[key]))

    until = answer.get("until_ms")
    after = answer.get("scale_after")
    return Timeline(
        anchor_s=number("anchor_s"),
        origin_ms=number("origin_ms"),
        scale=number("scale"),
        until_ms=None if until is None else float(str(until)),
        scale_after=1.0 if after is None else float(str(after)),
    )
