"""`./lab watch`: the page's views in a terminal, kept up to date.

Digits change the view, arrows move, Tab goes from line to line of those that lead somewhere, Enter opens one and Esc
goes back, `/` narrows a long list, q ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from ops.dashboard.terminal import links, view_text
from ops.dashboard.view import Filter, View
from ops.dashboard.views import BY_KEY, KINDS, Asked, Kind, follow, look, signature
from ops.environment import find_home, read_environment
from trading.domain.clock import Clock, iso
from trading.domain.errors import SettingsError

LOOK_S = 1.0
"""Between two looks at the stamps of the view's files, real seconds."""
ANYWAY_S = 5.0
"""A view is looked at anew after so long although no file changed: ages grow."""
UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"
MOVES = {UP: -1, "\x1bOA": -1, "k": -1, DOWN: 1, "\x1bOB": 1, "j": 1}
MOVES |= {PAGE_UP: -20, PAGE_DOWN: 20, " ": 20, "b": -20}
TAB, TAB_BACK, ESCAPE, SEARCH = "\t", "\x1b[Z", "\x1b", "/"
ENTER, ERASE = ("\r", "\n"), ("\x7f", "\b")
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
TEXT = "text"
"""The field of a filter that takes words."""
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is."""

    kind: Kind
    words: Mapping[str, str] = field(default_factory=dict)
    """What the view is narrowed by, or which line of it is open."""
    top: int = 0
    """The first line on the screen."""
    chosen: str = ""
    """The link whose line is marked; empty: none."""


class Watch:
    """What is on the screen.

    Args:
        asked: Whose lab.
        console: The terminal.
        kind: The view it begins with.
    """

    def __init__(self, asked: Asked, console: Console, kind: Kind) -> None:
        self._asked, self._console = asked, console
        self.place = Place(kind)
        self.view = View(kind.key, "looking", ())
        """What was found when it was last looked at."""
        self._back = list[Place]()
        self._written: str | None = None
        """What is being written behind `/`; None: keys are keys."""
        self._follows = False
        """A line was just marked, and is to be on the screen."""
        self._turned = asyncio.Event()
        self.has_ended = False

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
        while not self.has_ended:
            place = self.place
            now = place.kind, place.words, signature(place.kind, self._asked.home)
            if now != stamp or clock.real_s() - looked_s >= ANYWAY_S:
                stamp, looked_s = now, clock.real_s()
                self.view = await asyncio.to_thread(self.look)
            if shown != (drawn := (self.place, self._written, looked_s)):
                shown = drawn
                live.update(self.screen(), refresh=True)
            await clock.real_wait_s(self._turned, LOOK_S)
            self._turned.clear()

    def look(self) -> View:
        """The view as its files are now."""
        return look(self.place.kind, replace(self._asked, words=self.place.words))

    def typed(self, keys: str) -> None:
        """What keys do, several at once where one is held down; none at all: the terminal is gone."""
        self.has_ended = self.has_ended or not keys
        for key in _KEY.findall(keys):
            if self._written is not None:
                self._write(key)
            else:
                self._press(key)
        self._turned.set()

    def _press(self, key: str) -> None:
        if key in QUIT:
            self.has_ended = True
        elif key.isdecimal() and 1 <= int(key) <= len(KINDS):
            self._back, self.place = [], Place(KINDS[int(key) - 1])
        elif key in (TAB, TAB_BACK):
            self._choose(1 if key == TAB else -1)
        elif key in ENTER:
            if self.place.chosen and (found := follow(self.place.chosen)) is not None:
                self._go(Place(*found))
        elif key == ESCAPE or key in ERASE:
            self.place = self._back.pop() if self._back else Place(self.place.kind)
        elif key == SEARCH and self._choices():
            self._written = ""
        else:
            self.place = replace(self.place, top=max(0, self.place.top + MOVES.get(key, 0)))

    def _write(self, key: str) -> None:
        written = self._written or ""
        if key in ENTER:
            self._written = None
            self._go(Place(self.place.kind, narrowed(written, self._choices())))
        elif key == ESCAPE:
            self._written = None
        elif key in ERASE:
            self._written = written[:-1]
        elif key.isprintable():
            self._written = written + key

    def _go(self, place: Place) -> None:
        self._back.append(self.place)
        self.place = place

    def _choose(self, step: int) -> None:
        """Mark the next of the lines that lead to a view, or the one before; after the last comes the first."""
        lines = [link for link in links(self.view) if follow(link) is not None]
        if lines:
            at = lines.index(self.place.chosen) + step if self.place.chosen in lines else min(0, step)
            self.place = replace(self.place, chosen=lines[at % len(lines)])
            self._follows = True

    def _choices(self) -> tuple[str, ...]:
        """By what the view can be narrowed; nothing: it has no filter."""
        return tuple(choice.name for block in self.view.blocks if isinstance(block, Filter) for choice in block.choices)

    def screen(self) -> RenderableType:
        """The part of the view that fits, below the menu."""
        size = self._console.size
        told = view_text(self.view, chosen=self.place.chosen)
        lines = self._console.render_lines(told, self._console.options.update(height=None), pad=True)
        room = max(1, size.height - 2)
        top = min(self._top_for(lines, room), max(0, len(lines) - room))
        self.place = replace(self.place, top=top)
        menu = self._menu(size.width)
        menu.truncate(size.width)
        end = Segment.line()
        part = [segment for line in lines[top : top + room] for segment in (*line, end)]
        head = [*self._console.render_lines(menu, pad=True)[0], end]
        foot = self._foot(f"{top + 1}-{min(len(lines), top + room)} of {len(lines)}")
        foot.truncate(size.width)
        return Segments([*head, *part, *self._console.render_lines(foot, pad=False)[0]])

    def _menu(self, width: int) -> Text:
        """Every view with its digit; closer together where there is little room, and the name of this one alone."""
        for here, other in ((" {} {} ", " {} {} "), ("{}{} ", "{}{} "), ("{}{} ", "{} ")):
            names = [
                ((here if kind is self.place.kind else other).format(n, kind.title), kind is self.place.kind)
                for n, kind in enumerate(KINDS, 1)
            ]
            menu = Text.assemble(*((name, "reverse" if is_here else "dim") for name, is_here in names))
            if menu.cell_len <= width:
                break
        return menu

    def _top_for(self, lines: Sequence[Sequence[Segment]], room: int) -> int:
        """Where the screen begins: where it did, or so that the line that was just marked is on it."""
        top, follows, self._follows = self.place.top, self._follows, False
        marked = (n for n, line in enumerate(lines) if any(s.style is not None and s.style.reverse for s in line))
        if not follows or (at := next(marked, None)) is None or top <= at < top + room:
            return top
        return max(0, at - room // 2)

    def _foot(self, below: str) -> Text:
        if self._written is not None:
            names = " ".join(f"{name}=…" for name in self._choices() if name != TEXT)
            return Text(f"/{self._written}▏  Enter narrows, Esc leaves  {names}".rstrip())
        keys = f"↑↓ move  1-{len(KINDS)} view  Tab ↵ open"
        search = "  / filter" if self._choices() else ""
        at = iso(self._asked.clock.system_ms())[11:]
        return Text(f"q end  lines {below}  {keys}{search}  {at}", style="dim")


def narrowed(written: str, choices: Sequence[str]) -> Mapping[str, str]:
    """What was written behind `/`: `NAME=VALUE` where the view's filter has the name, and words."""
    words, text = dict[str, str](), list[str]()
    for part in written.split():
        name, is_one, value = part.partition("=")
        if is_one and name in choices and name != TEXT:
            words[name] = value
        else:
            text.append(part)
    return words | ({TEXT: " ".join(text)} if text else {})


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
