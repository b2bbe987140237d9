"""Where everything the lab keeps lives. Archiving `.env strategies state logs` of a home is a full backup."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trading.domain.errors import StateFileError


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one lab: the checkout itself, or a folder of its own for a demo or a test."""

    root: Path

    @property
    def strategies(self) -> Path:
        """One JSON file a strategy, in `testing`, `active`, `retired`."""
        return self.root / "strategies"

    @property
    def performance_log(self) -> Path:
        """What every living strategy had shown, day by day."""
        return self.strategies / "performance_log.json"

    @property
    def state(self) -> Path:
        """All that must survive a restart."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """`ai_lab.log` and `monitor.log`."""
        return self.root / "logs"

    @property
    def tapes(self) -> Path:
        """The Parquet store of recorded markets; large, can be fetched again: of it only `universe` is in a backup."""
        return self.root / "market"

    @property
    def recordings(self) -> Path:
        """Raw record of what the exchange sent; large, bounded by settings, not part of a backup."""
        return self.root / "recordings"

    @property
    def settings_file(self) -> Path:
        """`lab.yaml`."""
        return self.root / "lab.yaml"

    @property
    def env_file(self) -> Path:
        """`.env`."""
        return self.root / ".env"

    @property
    def kill_files(self) -> tuple[Path, Path]:
        """Either one, with any content, stops everything."""
        return self.state / "KILL_SWITCH", self.root / ".kill"

    @property
    def pause_file(self) -> Path:
        """No new positions while it is there."""
        return self.state / "PAUSED"

    @property
    def stopped_file(self) -> Path:
        """Written by `stop_trading.py`; honoured until released."""
        return self.state / "TRADING_STOPPED.json"

    @property
    def armed_file(self) -> Path:
        """Written by `go_live.py`: which strategies may trade, each signed."""
        return self.state / "live_armed.json"

    @property
    def heartbeat_file(self) -> Path:
        """Renewed by the service every cycle."""
        return self.state / "heartbeat.json"

    @property
    def pulse_file(self) -> Path:
        """Touched by the service several times a second while its loop turns; only its age counts."""
        return self.state / "pulse"

    @property
    def guardian_file(self) -> Path:
        """What the guardian did last, with its times."""
        return self.state / "guardian.json"

    @property
    def guardian_pulse_file(self) -> Path:
        """Touched by the guardian at every look; only its age counts."""
        return self.state / "guardian_pulse"

    @property
    def guardian_lock_file(self) -> Path:
        """Held by the one guardian of this home."""
        return self.state / "guardian.lock"

    @property
    def positions_file(self) -> Path:
        """What the lab believes it holds, live and on paper."""
        return self.state / "current_positions.json"

    @property
    def audit_file(self) -> Path:
        """One hash-chained line a cycle."""
        return self.state / "audit.jsonl"

    @property
    def audit_roots_file(self) -> Path:
        """Roots of that chain that were told to a human."""
        return self.state / "audit_roots.jsonl"

    @property
    def intents_file(self) -> Path:
        """Orders meant, written ahead."""
        return self.state / "intents.jsonl"

    @property
    def outbox(self) -> Path:
        """Messages not delivered yet."""
        return self.state / "outbox"

    @property
    def learning_db(self) -> Path:
        """SQLite: the trial ledger and what was learned."""
        return self.state / "ai_learning.db"

    @property
    def lock_file(self) -> Path:
        """Held by the one running service of this home."""
        return self.state / "lab.lock"

    @property
    def reserve_file(self) -> Path:
        """Room that a stop may use when the disk is full."""
        return self.state / "disk.reserve"

    @property
    def rate(self) -> Path:
        """Budgets of requests that every process of this home shares, one file an exchange's market."""
        return self.state / "rate"

    @property
    def log_file(self) -> Path:
        """The service's log."""
        return self.logs / "ai_lab.log"

    def make(self) -> Home:
        """Create the folders that are missing; the same home, for chaining.

        Raises:
            StateFileError: one of them cannot be created.
        """
        for folder in (
            *(self.strategies / name for name in ("testing", "active", "retired")),
            self.state,
            self.logs,
            self.outbox,
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StateFileError(
                    f"{folder}: cannot be created: {error.strerror}; check space and permissions"
                ) from error
        return self
