"""What the validator says of live bars: the newest verdict of each market, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from trading.domain.clock import Clock
from trading.domain.events import Event, Publish, Severity
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar
from trading.market.bar_sequence import Subscription
from trading.market.data_integrity_validator import (
    FailureRow,
    validate_bar,
    validate_instrument,
    validate_revision,
    validate_settlements,
)
from trading.market.rolling import RollingBars
from trading.market.validator_rules import FLAWLESS, RuleId, ValidatorSettings, Verdict, demand, merge

log = structlog.get_logger()


class LiveVerdicts:
    """Verdicts of live markets; a failure is told, a row of them is an alert with the worst reason.

    Args:
        keys: The markets.
        clock: Lab time.
        settings: The validator's thresholds.
        publish: Told of `data.blocked`, `data.failing` and `data.revised`.
    """

    def __init__(
        self, keys: Iterable[Subscription], clock: Clock, settings: ValidatorSettings, publish: Publish
    ) -> None:
        self._clock, self._settings, self._publish = clock, settings, publish
        self._verdicts: dict[Subscription, Verdict] = dict.fromkeys(keys, FLAWLESS)
        self._failures = {key: FailureRow(settings) for key in self._verdicts}
        self.instruments: dict[tuple[Market, str], Instrument] = {}
        """The venue's filters and status, as last read."""

    def of(self, key: Subscription) -> Verdict:
        """The newest bar's verdict."""
        return self._verdicts[key]

    def judge(
        self,
        key: Subscription,
        bar: Bar,
        rolling: RollingBars,
        second_price: float | None,
        until_due_ms: int | None,
        *,
        tell: bool,
    ) -> Verdict:
        """Judge a closed bar that is not filed yet.

        Args:
            key: Its market.
            bar: What is judged.
            rolling: The bars before it, and the settlements held.
            second_price: The same coin's close in the other market.
            until_due_ms: From the last settlement held to the next that is due; None: not known.
            tell: Whether it is news; the history at the start is not.
        """
        market, symbol, _ = key
        instrument = self.instruments.get((market, symbol))
        parts = [
            validate_bar(bar, self._settings, rolling.seen(second_price=second_price, instrument=instrument)),
            validate_instrument(instrument, self._settings, where=f"{market} {symbol}"),
        ]
        if market is Market.PERP and tell:
            # Up to the bar's opening: what fell due at its close is asked for after the bar is filed.
            times_ms, due_ms = rolling.funding_times_ms, bar.open_time_ms
            late = validate_settlements(symbol, times_ms, until_due_ms, self._settings, now_ms=due_ms)
            parts.append(demand(late, {RuleId.FUNDING_MISSING}, self._settings))
        verdict = self._verdicts[key] = merge(*parts, settings=self._settings)
        if tell:
            self._tell(key, bar, verdict)
        return verdict

    def told_again(self, key: Subscription, held: Bar | None, bar: Bar) -> None:
        """A bar that was told before comes again: the same numbers are nothing new, others are a revision.

        The bar held counts on, in the tape as in every decision that was made on it.
        """
        if held is None or not bar.is_closed:
            return
        verdict = validate_revision(held, bar, self._settings)
        if not verdict.findings:
            return
        facts = {"market": key[0], "symbol": key[1], "interval": key[2], "open_time_ms": bar.open_time_ms}
        facts |= {"reasons": list(verdict.reasons)}
        log.warning("data.revised", **facts)
        self._publish(Event(self._clock.now_ms(), "data.revised", facts))

    def _tell(self, key: Subscription, bar: Bar, verdict: Verdict) -> None:
        alarm = self._failures[key].note(failed=not verdict.ok_for_orders)
        if verdict.ok_for_orders:
            return
        facts = {"market": key[0], "symbol": key[1], "interval": key[2], "open_time_ms": bar.open_time_ms}
        facts |= {"quality": verdict.quality, "reasons": list(verdict.reasons)}
        log.warning("data.blocked", **facts)
        self._publish(Event(self._clock.now_ms(), "data.blocked", facts))
        if alarm:
            facts |= {"failures_in_row": self._failures[key].count, "top_reason": verdict.top_reason}
            self._publish(Event(self._clock.now_ms(), "data.failing", facts, Severity.ALERT))
