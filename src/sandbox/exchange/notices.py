"""What the exchange says beside the tape, until a test says otherwise: ranks, statuses, delivery, terms, the dollar.

`POST /sandbox/notices` changes it: `{"adl": 4, "status": {"perp": "SETTLING"}, "delivery_ms": 1735689600000,
"interval_hours": 4, "cap": 0.01, "usdt_usd": 0.97, "usdt_usdc": 0.97}`, each of them or some; null is the tape again.
One word for all symbols. `POST /sandbox/force-close` with `{"kind": "ADL"}` closes every perpetual position as the
exchange does: LIQUIDATION, ADL or SETTLEMENT; with a `symbol` besides, that one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from sandbox.exchange.errors import SandboxError
from sandbox.exchange.views import Json, number

NEVER_MS = 4_133_404_800_000
"""Delivery of a perpetual: Christmas 2100."""
FORCED_KINDS = ("LIQUIDATION", "ADL", "SETTLEMENT")
USDC = "USDCUSDT"
_SPREAD = 0.0001


@dataclass(frozen=True, slots=True)
class Notices:
    """What is said now."""

    adl: int = 1
    """Place in the queue of auto-deleveraging of whatever is held, 0 to 4."""
    status: Mapping[str, str] = field(default_factory=dict)
    """By market, of `exchangeInfo`; `TRADING` where nothing is said."""
    delivery_ms: int = NEVER_MS
    spot_end_ms: int | None = None
    """When spot stops trading everything here; None: nothing is on its schedule."""
    interval_hours: int | None = None
    """None: as the tape's settlements lie."""
    cap: float | None = None
    """Of the funding rate, either way; None: the contract's own."""
    usdt_usd: float = 1.0
    """A tether in dollars, at the second exchange."""
    usdt_usdc: float = 1.0
    """A tether in USDC, here."""

    def usdc_ticker(self) -> Json:
        """`ticker/bookTicker` of USDCUSDT: it is listed for its quote only."""
        mid = 1.0 / self.usdt_usdc
        bid, ask = number(mid - _SPREAD / 2), number(mid + _SPREAD / 2)
        return {"symbol": USDC, "bidPrice": bid, "bidQty": "900000.0", "askPrice": ask, "askQty": "900000.0"}

    def changed(self, words: object) -> Notices:
        """With other words.

        Raises:
            SandboxError: an unknown word, or a value of another kind.
        """
        kinds: Mapping[str, tuple[type, ...]] = {
            "adl": (int,), "status": (dict,), "delivery_ms": (int,),
            "spot_end_ms": (int, type(None)), "interval_hours": (int, type(None)),
            "cap": (int, float, type(None)), "usdt_usd": (int, float), "usdt_usdc": (int, float),
        }  # fmt: skip
        if not isinstance(words, dict) or not all(isinstance(value, kinds.get(k, ())) for k, value in words.items()):
            raise SandboxError(f"notices: {words!r}: send some of {', '.join(kinds)} with a value of their kind")
        return replace(self, **words)

    def view(self) -> Json:
        """As it stands."""
        return asdict(self)
