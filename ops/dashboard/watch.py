"""`./lab watch`: the page's views in a terminal, kept up to date; digits change the view, arrows move, q ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from ops.dashboard.terminal import view_text
from ops.dashboard.views import BY_KEY, KINDS, Asked, Kind, look, signature
from ops.environment import find_home, read_environment
from trading.domain.clock import Clock, iso
from trading.domain.errors import SettingsError

LOOK_S = 1.0
"""Between two looks at the stamps of the view's files, real seconds."""
ANYWAY_S = 5.0
"""A view is looked at anew after so long although no file changed: ages grow."""
UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"
MOVES = {UP: -1, "k": -1, DOWN: 1, "j": 1, PAGE_UP: -20, PAGE_DOWN: 20, " ": 20, "b": -20}
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|.", re.DOTALL)
QUIT = ("q", "\x03", "\x04")


def run_watch(view: str, *, once: bool) -> int:
    """Show a view until told to end; once, and all of it, where there is no terminal or it is asked for.

    Raises:
        SettingsError: there is no such view, or `.env` cannot be read.
    """
    if view not in BY_KEY:
        raise SettingsError(f"--view {view!r}: unknown; use one of {', '.join(BY_KEY)}")
    home = find_home()
    environment = read_environment(home)
    elsewhere = environment.learning_db_url is not None
    asked = Asked(home, Clock(), secrets=tuple(environment.secret_values()), ideas_elsewhere=elsewhere)
    console = Console()
    if once or not (console.is_terminal and sys.stdin.isatty()):
        console.print(view_text(look(BY_KEY[view], asked)))
        return 0
    watch = Watch(asked, console, BY_KEY[view])
    with _keys_at_once(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch.run())
    return 0


class Watch:
    """What is on the screen.

    Args:
        asked: Whose lab.
        console: The terminal.
        kind: The view it begins with.
    """

    def __init__(self, asked: Asked, console: Console, kind: Kind) -> None:
        self._asked, self._console, self._kind = asked, console, kind
        self._top = 0
        self._told: RenderableType = Text("looking")
        self._turned = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Look, draw, and do what is typed until it is to end."""
        loop = asyncio.get_running_loop()
        loop.add_reader(
            sys.stdin.fileno(), lambda: self.typed(os.read(sys.stdin.fileno(), 64).decode("ascii", "ignore"))
        )
        try:
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                await self._keep_up(live)
        finally:
            loop.remove_reader(sys.stdin.fileno())

    async def _keep_up(self, live: Live) -> None:
        clock, stamp, looked_s, shown = self._asked.clock, None, float("-inf"), None
        while not self._ended:
            now = self._kind, signature(self._kind, self._asked.home)
            if now != stamp or clock.real_s() - looked_s >= ANYWAY_S:
                stamp, looked_s = now, clock.real_s()
                self._told = view_text(await asyncio.to_thread(look, self._kind, self._asked))
            if shown != (drawn := (self._top, looked_s)):
                shown = drawn
                live.update(self.screen(), refresh=True)
            await clock.real_wait_s(self._turned, LOOK_S)
            self._turned.clear()

    def typed(self, keys: str) -> None:
        """What keys do, several at once where one is held down; none at all: the terminal is gone."""
        self._ended = self._ended or not keys
        for key in _KEY.findall(keys):
            if key in QUIT:
                self._ended = True
            elif key.isdecimal() and 1 <= int(key) <= len(KINDS):
                self._kind, self._top = KINDS[int(key) - 1], 0
            else:
                self._top = max(0, self._top + MOVES.get(key, 0))
        self._turned.set()

    def screen(self) -> RenderableType:
        """The part of the view that fits, below the menu."""
        size = self._console.size
        lines = self._console.render_lines(self._told, self._console.options.update(height=None), pad=True)
        room = max(1, size.height - 2)
        self._top = min(self._top, max(0, len(lines) - room))
        menu = Text.assemble(
            *((f" {n} {kind.title} ", "reverse" if kind is self._kind else "dim") for n, kind in enumerate(KINDS, 1)),
        )
        menu.truncate(size.width)
        end = Segment.line()
        part = [segment for line in lines[self._top : self._top + room] for segment in (*line, end)]
        head = [*self._console.render_lines(menu, pad=True)[0], end]
        below = f"{self._top + 1}-{min(len(lines), self._top + room)} of {len(lines)}"
        foot = Text(
            f"{iso(self._asked.clock.system_ms())}  lines {below}  ↑↓ move  1-{len(KINDS)} view  q end", style="dim"
        )
        foot.truncate(size.width)
        return Segments([*head, *part, *self._console.render_lines(foot, pad=False)[0]])


@contextlib.contextmanager
def _keys_at_once() -> Iterator[None]:
    """A terminal that hands over each key as it is typed, and is as it was afterwards."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin.fileno())
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
