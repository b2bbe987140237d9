"""May the lab trade with this key? Pure: what the exchange says of it, held against what it must be and must not be.

A key that may withdraw, that works from any address, or that is about to lapse with a position open is not traded with.

Source: https://developers.binance.com/docs/wallet/account/api-key-permission
"""

from __future__ import annotations

from trading.domain.clock import DAY_MS, iso
from trading.domain.decisions import Decision, Reason
from trading.domain.orders import KeyPermissions

EXPIRY_MARGIN_MS = 7 * DAY_MS
"""A key that lapses within this time is replaced first: a carry is held for days, and closing it needs the key."""


def faults_of(may: KeyPermissions, *, now_ms: int, testnet: bool = False) -> tuple[str, ...]:
    """What is wrong with a key, each with what to do; empty: it may trade.

    Args:
        may: What the exchange says.
        now_ms: Lab time.
        testnet: It binds no key to an address, so that is not asked there.
    """
    wrong = []
    if may.can_withdraw:
        wrong.append("the key may withdraw: take that right away")
    if not (may.is_ip_restricted or testnet):
        wrong.append("the key is not bound to an address: restrict it to this server's")
    if not (may.can_trade_spot and may.can_trade_futures):
        wrong.append("the key may not trade both spot and futures: grant both")
    if may.expires_ms is not None and may.expires_ms - now_ms < EXPIRY_MARGIN_MS:
        wrong.append(f"the key's right to trade ends {iso(may.expires_ms)}: bind it to an address, or make a new one")
    return tuple(wrong)


def judge_key(may: KeyPermissions, *, now_ms: int, testnet: bool = False) -> Decision:
    """Whether anything may be opened with a key; value is the count of its faults."""
    wrong = faults_of(may, now_ms=now_ms, testnet=testnet)
    return Decision(not wrong, Reason.KEY_UNFIT if wrong else Reason.OK, float(len(wrong)), 0.0, "; ".join(wrong))
