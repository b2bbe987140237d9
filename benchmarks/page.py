"""The web page in a real browser: `python -m benchmarks.page [--pictures DIR] [--axe FILE] [--quick]`; JSON on stdout.

Every view in light and dark, on a phone and a desk, of a home in which nothing ran, a small one, and a year of a busy
one (a gigabyte on disk for some minutes). Each is loaded with an empty cache by a browser whose processor is slowed
down four times on the phone, photographed, and looked at by axe-core. `axe.min.js` is not part of the project: it is in
the package axe-core; without `--axe`, `axe_serious` is null. Without a Chromium every figure is null, and it says why.

`first_picture_s`: the slowest view until it is drawn, charts and all. `transferred_kb`: the most one view took.
`axe_serious`: violations called serious or critical. `browser_tests`: loads that were checked; a load fails the run
when the console complains, another host is asked, the page is wider than the screen, a table on the phone is wider than
its box, or nothing is drawn. `wider_than_phone`: pages wider than the screen of a phone, 360 or 390 pixels.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.page_browser import Tab, browser, find_browser
from benchmarks.page_homes import large_home, small_home
from ops.dashboard.views import KINDS
from ops.resident import resident_bytes
from trading.storage.home import Home

SCREENS = {"desk": (1280, 800, False), "phone": (390, 844, True)}
PHONE_SLOWER = 4
"""Times that the phone's processor is slower than this machine's."""
PORT = 8751
PHONE_WIDTHS = (360, 390)
"""Pixels of small and usual phones; the last one is how it is left."""
WIDTH = "new Promise(told => setTimeout(() => told(document.documentElement.scrollWidth), 200))"
"""Once the charts have followed a change of the screen."""
RESIZE = "Emulation.setDeviceMetricsOverride"
OTHER_PAGES = ("stop", "strategies/fc-20250101-000001", "audit?line=0")
SERIOUS = """r => {
  if (!r.passes.length) throw new Error('axe looked at nothing');
  return r.violations.filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => v.id + ' ' + v.nodes[0].html.slice(0, 120));
}"""
HIDDEN = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth).length"
FOREIGN = """performance.getEntriesByType('resource').map(e => e.name)
  .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))"""


@dataclass(slots=True)
class Found:
    """What the loads came to."""

    first_picture_s: float = 0.0
    slowest: str = ""
    transferred_kb: float = 0.0
    axe_serious: int | None = None
    wider_than_phone: int = 0
    """Pages that reach beyond the screen of a phone, of each width."""
    loads: int = 0
    problems: list[str] = field(default_factory=list)
    server_rss_mb: dict[str, float] = field(default_factory=dict)
    server_cpu_idle_share: float | None = None


async def look_at(tab: Tab, path: str, name: str, axe: str | None, pictures: Path | None, found: Found) -> None:
    """Load one page and hold it against everything that is asked of it."""
    await tab.ask("Emulation.setCPUThrottlingRate", rate=PHONE_SLOWER if "-phone-" in name else 1)
    await tab.open(f"http://127.0.0.1:{PORT}/{path}")
    is_view = await tab.value("'view' in document.body.dataset")
    if is_view:
        await tab.until("performance.getEntriesByName('drawn').length > 0", f"{name}: drawn")
        drawn_ms = await tab.value("performance.getEntriesByName('drawn')[0].startTime")
        if drawn_ms / 1000 > found.first_picture_s:
            found.first_picture_s, found.slowest = drawn_ms / 1000, name
    found.transferred_kb = max(found.transferred_kb, tab.transferred_bytes / 1024)
    found.problems += [f"{name}: {problem}" for problem in tab.problems]
    foreign = await tab.value(FOREIGN)
    is_phone = "-phone-" in name
    if foreign:
        found.problems.append(f"{name}: asked elsewhere {foreign}")
    for width in PHONE_WIDTHS if is_phone else (SCREENS["desk"][0],):
        if is_phone:
            await tab.ask(RESIZE, width=width, height=SCREENS["phone"][1], deviceScaleFactor=1, mobile=True)
        # a phone that shows less at once calls itself wider: `innerWidth` grows with the page
        wider = await tab.value(WIDTH) - width
        if wider > 0:
            found.wider_than_phone += is_phone
            found.problems.append(f"{name}: wider than the screen of {width} by {wider}")
    if is_phone and (hidden := await tab.value(HIDDEN)):
        found.problems.append(f"{name}: {hidden} tables reach beyond their edge")
    if not await tab.value("document.querySelector('h1').textContent.length > 0"):
        found.problems.append(f"{name}: no heading")
    if axe is not None:
        await tab.ask("Emulation.setCPUThrottlingRate", rate=1)  # it is the looking that would take minutes
        await tab.value(f"{axe}; 0")
        violations = await tab.value(f"axe.run(document).then({SERIOUS})")
        found.axe_serious = (found.axe_serious or 0) + len(violations)
        found.problems += [f"{name}: axe {violation}" for violation in violations]
    if pictures is not None:
        await tab.picture(pictures / f"{name}.png")
    found.loads += 1


async def zooms(tab: Tab, found: Found) -> None:
    """A chart of the large home is zoomed by the keyboard and asks for finer steps."""
    await tab.open(f"http://127.0.0.1:{PORT}/")
    await tab.until("document.querySelector('.chart')?.plot", "a chart")
    for _ in range(12):
        await tab.value("document.querySelector('.chart-tools button').focus(); document.activeElement.click(); 0")
        await asyncio.sleep(0.15)
    await tab.until("document.querySelector('.chart').shown !== document.querySelector('.chart').whole", "finer steps")
    step_s = await tab.value("(d => d.x[1] - d.x[0])(document.querySelector('.chart').shown)")
    found.loads += 1
    if step_s > 61:
        found.problems.append(f"zoom: a step of {step_s} s is not every cycle")


async def lives(tab: Tab, home: Home, server: asyncio.subprocess.Process, found: Found) -> None:
    """What is pushed comes without a reload; a pause and a stop are asked once more; a page that is gone says so."""
    await tab.open(f"http://127.0.0.1:{PORT}/")
    await tab.until("document.getElementById('live').textContent.startsWith('live')", "the stream")
    await tab.value("window.kept = 1")
    home.pause_file.touch()
    await tab.until("document.body.textContent.includes('PAUSED: no new positions')", "a push")
    await tab.press("Tab")
    first = await tab.value("document.activeElement.className")
    await _clicked(tab, "a[href='/stop']")
    if home.kill_files[0].exists() or await tab.value("typeof window.kept") != "undefined":
        found.problems.append("stop: it was not asked once more")
    await _clicked(tab, "form button")
    if not home.kill_files[0].exists() or "Stopped" not in await tab.value("document.body.textContent"):
        found.problems.append("stop: it was not done")
    await tab.open(f"http://127.0.0.1:{PORT}/")
    server.terminate()
    await tab.until("document.getElementById('live').textContent.includes('NO CONNECTION')", "the word that it is gone")
    if first != "skip":
        found.problems.append(f"keyboard: the first key leads to {first!r}, not past the menu")
    found.loads += 4


async def _clicked(tab: Tab, selector: str) -> None:
    """Click, and wait for the page it leads to."""
    await tab.value(f"window.left = 0; document.querySelector({json.dumps(selector)}).click(); 0")
    await tab.until("typeof window.left === 'undefined' && document.readyState === 'complete'", selector)


@asynccontextmanager
async def serving_page(home: Home) -> AsyncIterator[asyncio.subprocess.Process]:
    """The page of one home, in a process of its own."""
    environment = {**os.environ, "LAB_HOME": str(home.root)}
    for name in ("PAGE_TOKEN", "LEARNING_DB_URL", "KILL"):
        environment.pop(name, None)
    words = (sys.executable, "-m", "ops.cli", "page", "--port", str(PORT))
    server = await asyncio.create_subprocess_exec(*words, env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        await _answers()
        yield server
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


async def serve_and_look(home: Home, state: str, axe: str | None, options: argparse.Namespace, found: Found) -> None:
    """The page of one home in every look of every view."""
    async with serving_page(home) as server:
        pages = [kind.key if n else "" for n, kind in enumerate(KINDS)]
        pages += [path for path in OTHER_PAGES if state == "small"]
        async with browser(options.browser) as tab_of:
            for screen, (width, height, is_phone) in SCREENS.items():
                for dark in (False, True):
                    async with tab_of() as tab:
                        await tab.look_like(width=width, height=height, dark=dark, is_phone=is_phone)
                        for path in pages:
                            page = path.replace("/", "-").replace("?", "-") or "overview"
                            name = f"{page}-{state}-{screen}-{'dark' if dark else 'light'}"
                            await look_at(tab, path, name, axe, options.pictures, found)
            if state == "large":
                async with tab_of() as tab:
                    await zooms(tab, found)
        found.server_rss_mb[state] = _rss_mb(server.pid)
        if state == "small":
            found.server_cpu_idle_share = await _idle_share(server.pid)
            async with browser(options.browser) as tab_of, tab_of() as tab:
                await lives(tab, home, server, found)


async def _answers() -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                await client.get(f"http://127.0.0.1:{PORT}/login")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
    raise RuntimeError("the page does not answer")


def _rss_mb(pid: int) -> float:
    resident = resident_bytes(pid)
    if resident is None:
        raise RuntimeError("the page has ended")
    return round(resident / 1e6, 1)


async def _idle_share(pid: int) -> float:
    """Of one core, over ten seconds in which nobody looks."""

    def ticks() -> int:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    before, before_s = ticks(), time.monotonic()
    await asyncio.sleep(10)
    return round((ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - before_s), 4)


async def figures(options: argparse.Namespace) -> dict[str, object]:
    """Every load of every state."""
    found = Found()
    axe = options.axe.read_text() if options.axe is not None else None
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        empty = Home(root / "empty")
        empty.root.mkdir()
        homes = [("empty", empty), ("small", small_home(root / "small"))]
        if not options.quick:
            homes.append(("large", large_home(root / "large")))
        for state, home in homes:
            await serve_and_look(home, state, axe, options, found)
    return {
        "first_picture_s": round(found.first_picture_s, 3),
        "transferred_kb": round(found.transferred_kb, 1),
        "axe_serious": found.axe_serious,
        "browser_tests": found.loads,
        "wider_than_phone": found.wider_than_phone,
        "slowest": found.slowest,
        "server_rss_mb": found.server_rss_mb,
        "server_idle_cpu_share": found.server_cpu_idle_share,
        "problems": found.problems,
    }


def main() -> int:
    """Print the figures; 1 where a load had a problem."""
    parser = argparse.ArgumentParser(prog="benchmarks.page")
    parser.add_argument("--pictures", type=Path, help="write every screen there, as PNG")
    parser.add_argument("--axe", type=Path, help="axe.min.js of the package axe-core")
    parser.add_argument("--quick", action="store_true", help="without the large home")
    options = parser.parse_args()
    options.browser = find_browser()
    if options.browser is None:
        names = ("first_picture_s", "transferred_kb", "axe_serious", "browser_tests")
        print(json.dumps({**dict.fromkeys(names), "skipped": "no chromium here: apt-get install chromium"}))
        return 0
    told = asyncio.run(figures(options))
    print(json.dumps(told, indent=2))
    return 1 if told["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
