"""What must hold after every death and every fault, read from the exchange's own ledger and the lab's own files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from benchmarks.live_world import Lab, ledger_of
from trading.domain.decisions import Reason
from trading.execution.intents import Intents
from trading.funding.desk import CarryDesk
from trading.funding.report import CycleReport

LOT = Decimal("0.001")
NEARLY = LOT + Decimal("0.0001")
"""One coarser lot, and the dust that a fee in base leaves."""
EVEN_WITHIN_S = 10.0
"""Lab seconds after the restart."""
PATIENCE_S = 180.0
"""Lab seconds until "no end in sight": an exchange that says "stay away" without a number is left alone for 60."""
UNSURE = frozenset({Reason.OUTCOME_UNKNOWN, Reason.DATA_UNAVAILABLE, Reason.KEY_UNFIT})
Json = dict[str, Any]


async def settled(lab: Lab, *, wants_flat: bool) -> tuple[CarryDesk, CycleReport]:
    """Cycle without new entries until nothing is open in the journal; raises when there is no end in sight."""
    desk, until_s = lab.desk(), lab.clock.monotonic_s() + PATIENCE_S
    while lab.clock.monotonic_s() < until_s:
        report = await desk.resume()
        intents = Intents(lab.home.intents_file)
        is_quiet = not intents.unfinished() and not intents.unresolved() and report.reason not in UNSURE
        if is_quiet and not (wants_flat and desk.store.lives):
            return desk, report
        await lab.clock.sleep_s(2.0)
    raise RuntimeError(f"no end in sight: {report.reason} {report.decision.note}")


async def verdict(lab: Lab, desk: CarryDesk, report: CycleReport, *, since_ms: int) -> Json:
    """Every invariant that does not hold, and how long the legs stood apart after `since_ms`, lab seconds."""
    ledger, seen = await ledger_of(lab)
    intents = Intents(lab.home.intents_file)
    wrong = [*_books(ledger, seen, intents), *_ends(lab, desk, report, ledger)]
    return {
        "wrong": wrong,
        "duplicates": len(seen["duplicate_orders"]),
        "lost": sum("a fill that the journal" in line for line in wrong),
        "apart_s": apart_s(ledger, since_ms),
    }


def apart_s(ledger: Mapping[str, Any], since_ms: float) -> float:
    """The longest stretch after a moment in which the legs were further apart than one lot, lab seconds, by the fills
    of the exchange; infinite when they still are."""
    delta, began_ms, longest_s = Decimal(0), 0.0, 0.0
    for fill in sorted(ledger["fills"], key=lambda fill: int(fill["time"])):
        at_ms = float(fill["time"])
        delta += _signed(fill)
        if abs(delta) > NEARLY:
            began_ms = began_ms or at_ms
        elif began_ms:
            longest_s = max(longest_s, (at_ms - max(began_ms, since_ms)) / 1000)
            began_ms = 0.0
    return float("inf") if began_ms else longest_s


def _signed(fill: Mapping[str, Any]) -> Decimal:
    is_buy = fill["isBuyer"] if fill["market"] == "spot" else fill["side"] == "BUY"
    signed = Decimal(fill["qty"]) * (1 if is_buy else -1)
    return signed - Decimal(fill["commission"]) if fill["commissionAsset"] == "BTC" else signed


def _books(ledger: Json, seen: Json, intents: Intents) -> list[str]:
    wrong = [f"sent twice: {again}" for again in seen["duplicate_orders"]]
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for fill in ledger["fills"]:
        if fill["client_id"].startswith("autoclose"):
            continue  # the exchange's own order
        filled[f"{fill['market']} {fill['orderId']}"] += Decimal(fill["qty"])
    for record in intents.orders():
        told = filled.pop(f"{record.order.market} {record.venue_id}", Decimal(0))
        if told != record.filled_base:
            wrong.append(f"a fill that the journal lost: {record.order.client_id} {record.filled_base}, not {told}")
    return wrong + [f"a fill that the journal does not know: {key} {left}" for key, left in filled.items()]


def _ends(lab: Lab, desk: CarryDesk, report: CycleReport, ledger: Json) -> list[str]:
    wallet = ledger["spot"].get("BTC", {"free": "0", "locked": "0"})
    spot = Decimal(wallet["free"]) + Decimal(wallet["locked"])
    perp = sum((Decimal(p["quantity"]) for p in ledger["positions"]), Decimal(0))
    wrong = []
    if abs(spot + perp) > NEARLY:
        wrong.append(f"legs apart: spot {spot}, perpetual {perp}")
    if desk.store.lives == () and perp:
        wrong.append(f"nothing held, the exchange has {perp}")
    if report.identity is not None and abs(report.identity.error_quote) > Decimal("0.01"):
        wrong.append(f"equity identity: {report.identity.error_quote}")
    if ledger["open_orders"]:
        wrong.append(f"orders rest: {ledger['open_orders']}")
    if not ledger["equity"]["adds_up"]:
        wrong.append("the exchange's own ledger does not add up")
    return wrong
