"""What a person sees while the demo plays: the acts, the events as they come, the Telegram chat, the numbers."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trading.domain.clock import iso

SYNTHETIC = "SYNTHETIC MARKET"
EVENTS_SHOWN = 14
MESSAGE_LINES = 20


class ActState(StrEnum):
    """Where an act stands."""

    WAITING = "waiting"
    PLAYING = "playing"
    DONE = "done"
    FAILED = "failed"


SIGNS = {
    ActState.WAITING: ("·", "dim"),
    ActState.PLAYING: ("▶", "bold yellow"),
    ActState.DONE: ("✔", "green"),
    ActState.FAILED: ("✘", "bold red"),
}


class Screen:
    """A live terminal view, or plain lines where there is no terminal.

    Args:
        acts: Names of the acts, in order.
        market: `recorded`, `downloaded` or `synthetic`.
        console: Where to draw; given by tests and by picture making.
    """

    def __init__(self, acts: tuple[str, ...], *, market: str, console: Console | None = None) -> None:
        self.console = console or Console()
        self._market = market
        self._acts = dict.fromkeys(acts, ActState.WAITING)
        self._notes: dict[str, str] = {}
        self._events: deque[tuple[str, str]] = deque(maxlen=EVENTS_SHOWN)
        self._message = "(nothing yet)"
        self._numbers: dict[str, str] = {}
        self._lab_time = ""
        self._is_live = self.console.is_terminal
        self._live = Live(self.draw(), console=self.console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def act(self, name: str, state: ActState, note: str = "") -> None:
        """An act begins, ends or fails."""
        self._acts[name] = state
        if note:
            self._notes[name] = note
        if not self._is_live and state is not ActState.WAITING:
            sign, style = SIGNS[state]
            self._line(f"{sign} {name}" + (f": {note}" if note else ""), style)
        self.refresh()

    def event(self, at_ms: int, text: str) -> None:
        """One thing that happened, in the lab's time."""
        self._events.append((iso(at_ms)[5:16].replace("T", " "), text))
        if not self._is_live:
            self._line(f"    {iso(at_ms)} {text}", "")
        self.refresh()

    def message(self, text: str, *, below: bool = False) -> None:
        """What stands in the Telegram chat now; `below` what stood there, or in its place."""
        self._message = f"{self._message}\n\n{text}" if below else text
        if not self._is_live:
            self._line("    ┌ Telegram (the sandbox's)", "cyan")
            for line in text.splitlines():
                self._line(f"    │ {line}", "cyan")
        self.refresh()

    def report(self, messages: Sequence[Mapping[str, object]]) -> None:
        """The newest message of the chat, on a live screen only: plain lines would drown in them."""
        if messages and self._is_live:
            self._message = str(messages[-1]["text"])
            self.refresh()

    def numbers(self, values: Mapping[str, str], *, lab_ms: int) -> None:
        """The figures beside the acts."""
        self._numbers = dict(values)
        self._lab_time = iso(lab_ms)
        self.refresh()

    def save_picture(self, file: Path) -> None:
        """Write the screen as it stands now as an SVG."""
        console = Console(record=True, width=150, height=44, file=io.StringIO(), force_terminal=True)
        console.print(self.draw())
        # Without the address of a font on somebody's server: the picture needs nothing from outside.
        svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", console.export_svg(title="./lab demo"), flags=re.DOTALL)
        file.write_text(svg, encoding="utf-8")

    def refresh(self) -> None:
        """Redraw, where there is a terminal."""
        if self._is_live:
            self._live.update(self.draw())

    def draw(self) -> RenderableType:
        """The whole screen."""
        layout = Layout()
        layout.split_column(Layout(self._header(), size=3), Layout(name="body"))
        layout["body"].split_row(Layout(name="left", ratio=2), Layout(name="right", ratio=3))
        layout["left"].split_column(
            Layout(Panel(self._acts_table(), title="The story"), ratio=3),
            Layout(Panel(self._numbers_table(), title="Numbers"), ratio=2),
        )
        layout["right"].split_column(
            Layout(Panel(self._event_lines(), title="What happens"), ratio=1),
            Layout(Panel(self._message_lines(), title="Telegram (the sandbox's)", style="cyan"), ratio=1),
        )
        return layout

    def _header(self) -> RenderableType:
        words = Text("AI Trading Lab · demo on the sandbox, no real money", style="bold")
        if self._market == "synthetic":
            words.append(f"   {SYNTHETIC}", style="bold white on red")
        else:
            words.append(f"   {self._market} market", style="bold green")
        words.append(f"   {self._lab_time}", style="dim")
        return Panel(words)

    def _acts_table(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for name, state in self._acts.items():
            sign, style = SIGNS[state]
            table.add_row(
                Text(sign, style=style), Text(name, style=style), Text(self._notes.get(name, ""), style="dim")
            )
        return table

    def _numbers_table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for name, value in self._numbers.items():
            table.add_row(Text(name, style="dim"), Text(value, justify="right"))
        return table

    def _event_lines(self) -> RenderableType:
        return Group(
            *(Text.assemble((at, "dim"), " ", text, overflow="ellipsis", no_wrap=True) for at, text in self._events)
        )

    def _message_lines(self) -> RenderableType:
        return Text("\n".join(self._message.splitlines()[:MESSAGE_LINES]))

    def _line(self, text: str, style: str) -> None:
        prefix = f"[{SYNTHETIC}] " if self._market == "synthetic" else ""
        self.console.print(Text(prefix + text, style=style), soft_wrap=True, highlight=False)
