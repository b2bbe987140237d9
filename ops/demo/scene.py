"""What stands on the demo's stage, and what was seen on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ops.ai_trading_lab import Service
from ops.demo.conductor import Conductor
from ops.demo.market import DemoMarket
from ops.demo.screen import Screen
from ops.sandbox_process import SandboxProcess
from ops.service.lab import Lab
from trading.notify.message import Notifier


@dataclass(slots=True)
class Happened:
    """What the demo saw, for its summary."""

    ideas: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    paper_trades: int = 0
    """Closed on paper."""
    paper_settlements: int = 0
    """Booked by paper carries."""
    errors: int = 0
    """Jobs that failed, were parked or ended the service."""
    settlements: int = 0
    """Booked live."""
    funding_quote: float = 0.0
    carry_opened: bool = False
    max_unhedged_s: float = 0.0
    identity_error_quote: float = 0.0
    """The largest seen, live."""
    approved: str = ""
    is_flat: bool = False
    flat_s: float | None = None
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """(lab ms, equity by account) at every full hour."""
    note: str = ""
    """Why the story ended early; empty: it did not."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything on the stage."""

    sandbox: SandboxProcess
    service: Service
    conductor: Conductor
    screen: Screen
    market: DemoMarket
    notifier: Notifier

    @property
    def lab(self) -> Lab:
        """The lab that is watched."""
        return self.service.lab
