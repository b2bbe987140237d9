"""A headless Chromium, spoken to by its own DevTools protocol: opens a page, photographs it, counts what came.

Only what `benchmarks/page.py` needs. The browser is Debian's (`apt-get install chromium`); it is found by name.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 120.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the benchmark may run as root, and it opens nothing but our own page
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
KEYS = {"Tab": 9, "Enter": 13}
LEFT = ("navigated", "context was destroyed")
"""Of what the browser answers then."""
Answer = dict[str, Any]


class HasLeftError(RuntimeError):
    """The tab went to another page while it was asked."""


def find_browser() -> str | None:
    """Where a Chromium is; None: none is installed."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


@dataclass(slots=True)
class Tab:
    """One tab of the browser."""

    socket: aiohttp.ClientWebSocketResponse
    waiting: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    transferred_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """What the browser's console complained about: errors, and what the policy of the page forbade."""

    async def listen(self) -> None:
        """Hand every answer to who waits for it; note what concerns all."""
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                self.waiting.pop(told["id"]).set_result(told)
            elif told["method"] == "Network.loadingFinished":
                self.transferred_bytes += int(told["params"]["encodedDataLength"])
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.problems.append(told["params"]["entry"]["text"])
            elif told["method"] == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["params"]["exceptionDetails"])[:300])

    async def ask(self, method: str, **params: object) -> Answer:
        """One command and its answer."""
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            told = await self.waiting[number]
        if "error" in told and any(word in told["error"]["message"] for word in LEFT):
            raise HasLeftError(method)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]  # type: ignore[no-any-return]  # what JSON gives

    async def value(self, script: str) -> Any:
        """What a script comes to; a promise is waited for."""
        told = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script[:80]}: {told['exceptionDetails']}")
        return told["result"].get("value")

    async def until(self, script: str, what: str) -> None:
        """Wait until a script comes to something true."""
        for _ in range(int(PATIENCE_S / 0.05)):
            with contextlib.suppress(HasLeftError):
                if await self.value(script):
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{what} did not come within {PATIENCE_S:.0f} s")

    async def look_like(self, *, width: int, height: int, dark: bool, is_phone: bool) -> None:
        """The screen, and the colours its owner likes."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, url: str) -> None:
        """Load a page and wait until it is drawn."""
        self.transferred_bytes, self.problems = 0, []
        await self.ask("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'", url)

    async def press(self, key: str) -> None:
        """One key, down and up."""
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    async def picture(self, file: Path, *, most_px: int = 6000) -> None:
        """The page from its top, beyond the screen too, as PNG."""
        size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most_px), "scale": 1}
        told = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def browser(path: str) -> AsyncIterator[Callable[[], Any]]:
    """A browser of its own, with an empty profile; gives a function that opens a tab in a fresh, cold cache."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            path, *FLAGS, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as http:
                yield lambda: _tab(http, port)
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    for _ in range(int(PATIENCE_S / 0.1)):
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the browser did not answer within {PATIENCE_S:.0f} s")


@asynccontextmanager
async def _tab(http: aiohttp.ClientSession, port: int) -> AsyncIterator[Tab]:
    async with http.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
        target = await answer.json()
    async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        listener = asyncio.create_task(tab.listen(), name="tab")
        try:
            for domain in ("Page", "Network", "Log", "Runtime"):
                await tab.ask(f"{domain}.enable")
            await tab.ask("Network.setCacheDisabled", cacheDisabled=True)
            yield tab
        finally:
            listener.cancel()
    async with http.get(f"http://127.0.0.1:{port}/json/close/{target['id']}"):
        pass
