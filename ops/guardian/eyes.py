"""What the guardian sees: switches, journal and pulse at every look, the account while something is held."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.domain.venue import Venue
from trading.execution.intents import Intents
from trading.risk.guardian import AccountSight, GuardianSettings, Sight, is_apart, margin_ratio, together
from trading.risk.kill_switch import Stop, StopKind, read_stop
from trading.storage.home import Home

BLINK_S = 1.0
"""Real seconds between two looks that count as looked at; more were a sleep."""


class Eyes:
    """Looks without touching: nothing is written, the journal is read beside its writer.

    Args:
        home: Whose lab.
        venue: The account.
        settings: What counts as apart.
        clock: For real seconds and the ages of files.
        environment: For `KILL`.

    Raises:
        StateFileError: the journal cannot be read.
    """

    def __init__(
        self, home: Home, venue: Venue, settings: GuardianSettings, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self._home, self._venue, self._settings, self._clock = home, venue, settings, clock
        self._environment = environment
        self._intents = Intents(home.intents_file, mends=False)
        self._signs: list[int] = []
        self._looked_s, self._silent_s = clock.real_s(), 0.0
        self._account: AccountSight | None = None
        self._apart_since_s: float | None = None
        self._env_file_killed = False

    @property
    def symbols(self) -> tuple[str, ...]:
        """What the journal holds open, by symbol."""
        held = (self._intents.symbol_of(position_id) for position_id in self._intents.positions())
        return tuple(dict.fromkeys(held))

    def look(self) -> Sight:
        """Switches, journal and ages, with the last look at the account; no network.

        Raises:
            StateFileError: the journal was damaged since.
        """
        self._intents.catch_up()
        return Sight(
            now_s=self._clock.real_s(),
            stop=self._stop(),
            holds=bool(self._intents.positions()),
            under_way=bool(self._intents.unfinished() or self._intents.unresolved()),
            lab_age_s=self._lab_age_s(),
            unhedged_since_s=self._apart_since_s,
            account=self._account,
        )

    async def look_at_account(self) -> AccountSight | None:
        """Ask the venue about everything that is held; None: nothing is.

        Raises:
            TradingEngineError: the venue gives no answer; the last one still stands.
        """
        positions = self._intents.positions()
        if not positions:
            self._account = self._apart_since_s = None
            return None
        sights = [await self._position(position_id) for position_id in positions]
        account = together(sights, self._settings)
        self._account = account
        if not is_apart(account, self._settings):
            self._apart_since_s = None
        elif self._apart_since_s is None:
            self._apart_since_s = account.at_s
        return account

    async def _position(self, position_id: str) -> AccountSight:
        """One position: of each leg what is ours by the journal, and at most what the venue has."""
        symbol = self._intents.symbol_of(position_id)
        ours_spot, ours_perp = self._intents.held(position_id)
        contract = await self._venue.position(symbol)
        base = (await self._venue.instrument(Market.SPOT, symbol)).base
        balances = await self._venue.balances(Market.SPOT)
        wallet = balances[base].total if base in balances else Decimal(0)
        resting = sum([len(await self._venue.open_orders(market, symbol)) for market in Market])
        spot = max(Decimal(0), min(ours_spot, wallet))
        short = max(Decimal(0), min(-ours_perp, -contract.quantity_base))
        price = contract.mark_price
        if price <= 0:
            price = Decimal(str((await self._venue.quote(Market.SPOT, symbol)).bid))
        unhedged, larger = abs(spot - short) * price, max(spot, short) * price
        is_open = short > 0 or larger > Decimal(str(self._settings.dust_usdt))
        ratio = margin_ratio(contract) if short > 0 else 0.0
        return AccountSight(self._clock.real_s(), ratio, unhedged, larger, is_open, resting)

    def _stop(self) -> Stop:
        stop = read_stop(self._home, self._environment)
        if stop.kind is not StopKind.KILL and self._env_file_kills():
            return Stop(StopKind.KILL, "KILL=1")
        return stop

    def _env_file_kills(self) -> bool:
        """`KILL=1` was written into `.env` meanwhile; while it cannot be read, what it said the last time holds.

        Read anew at every look: it is small, and a file's time does not tell two writes of one millisecond apart.
        """
        try:
            lines = self._home.env_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return self._env_file_killed
        words = [line.partition("=") for line in lines]
        values = [value.strip(" \t'\"") for name, _, value in words if name.strip() == "KILL"]
        self._env_file_killed = bool(values) and values[-1] not in ("", "0")
        return self._env_file_killed

    def _lab_age_s(self) -> float:
        """How long we have looked without a new sign of the lab, its pulse or its heartbeat; from our start on.

        Signs are compared with the ones before and never with the system's clock, which may be set; and of a server
        that slept, or a guardian that could not look, no more than `BLINK_S` counts, for the lab may have slept too.
        """
        signs = [_touched_ns(path) for path in (self._home.pulse_file, self._home.heartbeat_file)]
        now_s = self._clock.real_s()
        self._silent_s = self._silent_s + min(now_s - self._looked_s, BLINK_S) if signs == self._signs else 0.0
        self._signs, self._looked_s = signs, now_s
        return self._silent_s


def _touched_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
