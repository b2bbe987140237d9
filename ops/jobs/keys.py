"""At every start and once a day: what the trading key may do, as the exchange says. Unfit or unknown opens nothing."""

from __future__ import annotations

from ops.service.lab import Lab
from trading.domain.errors import TradingEngineError
from trading.domain.events import Severity
from trading.risk.key_rights import judge_key

UNFIT = "keys.unfit"


async def run(lab: Lab) -> None:
    """Ask, and remember the answer.

    Raises:
        TradingEngineError: the exchange does not say; what it said before stands.
    """
    if lab.account is None:
        return
    testnet = lab.setting.environment.binance_testnet
    verdict = judge_key(await lab.account.permissions(), now_ms=lab.clock.now_ms(), testnet=testnet)
    lab.memory.key = verdict
    if verdict.allowed:
        lab.messenger.resolve(UNFIT)
    else:
        lab.tell(UNFIT, {"note": verdict.note}, Severity.ALERT)


async def once(lab: Lab) -> None:
    """Ask if it was not answered since the start; the next cycle asks again if it is not now."""
    if lab.memory.key is None:
        try:
            await run(lab)
        except TradingEngineError as error:
            lab.failed("keys", error)
