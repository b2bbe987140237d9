"""Slow, obvious twins of the kernels, written from the rules and sharing no code with them.

Values are Python floats, "no value" is None. Nothing here is imported by the product.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from types import SimpleNamespace

Values = list[float | None]


def windows(values: Values, n: int) -> list[list[float] | None]:
    """The last n values at each place; None where there are not n of them."""
    out: list[list[float] | None] = []
    for i in range(len(values)):
        part = values[max(0, i - n + 1) : i + 1]
        out.append(list(part) if len(part) == n and None not in part else None)  # type: ignore[arg-type]
    return out


def over(values: Values, n: int, function) -> Values:
    return [None if part is None else function(part) for part in windows(values, n)]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def deviation(values: list[float], ddof: int) -> float:
    centre = mean(values)
    if max(values) == min(values):
        return 0.0
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - ddof))


def smooth(values: Values, n: int, weight: float) -> Values:
    """Mean of the first n, then weighted with what was before."""
    out: Values = []
    seen: list[float] = []
    last: float | None = None
    for value in values:
        if value is None:
            out.append(None)
            continue
        if last is not None:
            last = weight * value + (1 - weight) * last
        else:
            seen.append(value)
            if len(seen) == n:
                last = mean(seen)
        out.append(last)
    return out


def ema(values: Values, n: int) -> Values:
    return smooth(values, n, 2 / (n + 1))


def wilder(values: Values, n: int) -> Values:
    return smooth(values, n, 1 / n)


def changes(values: Values) -> Values:
    return [None, *(b - a for a, b in itertools.pairwise(values))]  # type: ignore[operator]


def each(function, *columns: Values) -> Values:
    return [None if None in row else function(*row) for row in zip(*columns, strict=True)]


def true_ranges(b) -> Values:
    out: Values = [None]
    for i in range(1, len(b.close)):
        before = b.close[i - 1]
        out.append(max(b.high[i] - b.low[i], abs(b.high[i] - before), abs(b.low[i] - before)))
    return out


def typical(b) -> Values:
    return [(h + low + c) / 3 for h, low, c in zip(b.high, b.low, b.close, strict=True)]


def rsi(b, n: int) -> Values:
    moves = changes(b.close)
    rises = wilder([None if m is None else max(m, 0.0) for m in moves], n)
    falls = wilder([None if m is None else max(-m, 0.0) for m in moves], n)
    return each(lambda g, loss: 50.0 if g + loss == 0 else 100 * g / (g + loss), rises, falls)


def directional(b, n: int, side: int) -> Values:
    moved: Values = [None]
    for i in range(1, len(b.close)):
        up, down = b.high[i] - b.high[i - 1], b.low[i - 1] - b.low[i]
        mine, other = (up, down) if side > 0 else (down, up)
        moved.append(mine if mine > other and mine > 0 else 0.0)

    def running(values: Values) -> Values:
        out: Values = [None] * len(values)
        if len(values) > n:
            total = math.fsum(values[1:n])  # type: ignore[arg-type]
            for i in range(n, len(values)):
                total = total - total / n + values[i]  # type: ignore[operator]
                out[i] = total
        return out

    return each(lambda p, t: 0.0 if t == 0 else 100 * p / t, running(moved), running(true_ranges(b)))


def adx(b, n: int) -> Values:
    index = each(
        lambda p, m: 0.0 if p + m == 0 else 100 * abs(p - m) / (p + m), directional(b, n, 1), directional(b, n, -1)
    )
    return wilder(index, n)


def macd(b, fast: int, slow: int) -> Values:
    return each(lambda f, s: f - s, ema(b.close, fast), ema(b.close, slow))


def macd_signal(b, fast: int, slow: int, signal: int) -> Values:
    return ema(macd(b, fast, slow), signal)


def stoch_k(b, n: int, smoothing: int) -> Values:
    tops, bottoms = over(b.high, n, max), over(b.low, n, min)
    raw = each(lambda c, h, low: 50.0 if h == low else 100 * (c - low) / (h - low), b.close, tops, bottoms)
    return over(raw, smoothing, mean)


def cci(b, n: int) -> Values:
    def one(part: list[float]) -> float:
        centre = mean(part)
        away = mean([abs(p - centre) for p in part])
        return 0.0 if max(part) == min(part) else (part[-1] - centre) / (0.015 * away)

    return over(typical(b), n, one)


def mfi(b, n: int) -> Values:
    prices, out = typical(b), []
    for t in range(len(prices)):
        if t < n:
            out.append(None)
            continue
        span = range(t - n + 1, t + 1)
        up = math.fsum(prices[i] * b.volume[i] for i in span if prices[i] > prices[i - 1])
        down = math.fsum(prices[i] * b.volume[i] for i in span if prices[i] < prices[i - 1])
        out.append(50.0 if up + down == 0 else 100 * up / (up + down))
    return out


def obv(b) -> Values:
    out = [b.volume[0]]
    for i in range(1, len(b.close)):
        move = b.close[i] - b.close[i - 1]
        out.append(out[-1] + (b.volume[i] if move > 0 else -b.volume[i] if move < 0 else 0.0))
    return out


def vwap(b, n: int) -> Values:
    paid = over([p * v for p, v in zip(typical(b), b.volume, strict=True)], n, math.fsum)
    traded = over(b.volume, n, math.fsum)
    return each(lambda p, v: None if v == 0 else p / v, paid, traded)


def vwap_session(b) -> Values:
    """Only days that begin inside the tape, or with it."""
    day_ms, out = 24 * 60 * 60 * 1000, []
    for t, now in enumerate(b.time):
        midnight = now - now % day_ms
        span = [i for i in range(t + 1) if b.time[i] >= midnight]
        paid = math.fsum((b.high[i] + b.low[i] + b.close[i]) / 3 * b.volume[i] for i in span)
        traded = math.fsum(b.volume[i] for i in span)
        out.append(paid / traded if b.time[0] <= midnight and traded > 0 else None)
    return out


def known_settlements(b) -> list[list[tuple[int, float]]]:
    """At each bar, the settlements before its close, (minute, rate); stamps jitter by seconds."""
    minutes = [(round(stamp / 60_000) * 60_000, rate) for stamp, rate in b.settlements]
    return [[(at, rate) for at, rate in minutes if at < now + b.interval] for now in b.time]


def funding_mean(b, n: int) -> Values:
    return [mean([r for _, r in known[-n:]]) if len(known) >= n else None for known in known_settlements(b)]


def funding_apr(b) -> Values:
    year_ms = 365 * 24 * 60 * 60 * 1000
    return [
        known[-1][1] * year_ms / (known[-1][0] - known[-2][0]) if len(known) > 1 else None
        for known in known_settlements(b)
    ]


def basis(b) -> Values:
    """What the perpetual is above the spot market, as a fraction of spot; None where spot has no bar."""
    return each(lambda perp, spot: perp / spot - 1, b.close, b.spot)


def over_known(values: Values, n: int, function) -> Values:
    """As `over`, as if the bars without a value were not there; they get none."""
    known = iter(over([v for v in values if v is not None], n, function))
    return [None if v is None else next(known) for v in values]


def standing(part: list[float]) -> float:
    """Standard deviations of the newest from the mean."""
    return 0.0 if max(part) == min(part) else (part[-1] - mean(part)) / deviation(part, 0)


def before(values: Values, n: int) -> Values:
    return [values[i - n] if i >= n else None for i in range(len(values))]


def log_changes(values: Values) -> Values:
    return [None, *(math.log(b / a) for a, b in itertools.pairwise(values))]


INDICATORS = {
    "sma": lambda b, n: over(b.close, n, mean),
    "ema": lambda b, n: ema(b.close, n),
    "wma": lambda b, n: over(b.close, n, lambda w: math.fsum((i + 1) * x for i, x in enumerate(w)) / (n * (n + 1) / 2)),
    "rsi": rsi,
    "macd": macd,
    "macd_signal": macd_signal,
    "macd_hist": lambda b, f, s, g: each(lambda m, x: m - x, macd(b, f, s), macd_signal(b, f, s, g)),
    "adx": adx,
    "di_plus": lambda b, n: directional(b, n, 1),
    "di_minus": lambda b, n: directional(b, n, -1),
    "atr": lambda b, n: wilder(true_ranges(b), n),
    "bb_upper": lambda b, n, k: over(b.close, n, lambda w: mean(w) + k * deviation(w, 0)),
    "bb_lower": lambda b, n, k: over(b.close, n, lambda w: mean(w) - k * deviation(w, 0)),
    "bb_mid": lambda b, n: over(b.close, n, mean),
    "kc_upper": lambda b, n, k: each(lambda e, a: e + k * a, ema(b.close, n), wilder(true_ranges(b), n)),
    "kc_lower": lambda b, n, k: each(lambda e, a: e - k * a, ema(b.close, n), wilder(true_ranges(b), n)),
    "donchian_high": lambda b, n: over(b.high, n, max),
    "donchian_low": lambda b, n: over(b.low, n, min),
    "stoch_k": stoch_k,
    "stoch_d": lambda b, n, s, d: over(stoch_k(b, n, s), d, mean),
    "cci": cci,
    "mfi": mfi,
    "obv": obv,
    "vwap": vwap,
    "roc": lambda b, n: each(lambda c, p: 100 * (c / p - 1), b.close, before(b.close, n)),
    "mom": lambda b, n: each(lambda c, p: c - p, b.close, before(b.close, n)),
    "volatility": lambda b, n: over(log_changes(b.close), n, lambda w: deviation(w, 1)),
    "zscore": lambda b, n: over(b.close, n, lambda w: 0.0 if max(w) == min(w) else (w[-1] - mean(w)) / deviation(w, 0)),
    "volume_ratio": lambda b, n: over(b.volume, n, lambda w: None if math.fsum(w) == 0 else w[-1] / mean(w)),
    "highest": lambda b, n: over(b.close, n, max),
    "lowest": lambda b, n: over(b.close, n, min),
    "vwap_session": vwap_session,
    "rank": lambda b, n: over(b.close, n, lambda w: sum(x <= w[-1] for x in w) / n),
    "funding_mean": funding_mean,
    "funding_apr": funding_apr,
    "basis_mean": lambda b, n: over_known(basis(b), n, mean),
    "basis_zscore": lambda b, n: over_known(basis(b), n, standing),
}
"""By the catalogue's names: (bars, *arguments) -> values. Bars have lists `time`, `close`, `high`, `low`, `volume`,
`spot` (closes of the spot market, None: no bar) and `settlements` (stamp, rate), and their length `interval`,
milliseconds."""


def longer_bars(b, length: int):
    """Bars of a longer interval that the tape saw from their first moment, made of all its bars, with `start` times."""
    starts = sorted({t - t % length for t in b.time if t - t % length >= b.time[0]})
    parts = [[i for i, t in enumerate(b.time) if s <= t < s + length] for s in starts]
    return SimpleNamespace(
        start=starts,
        open=[b.open[p[0]] for p in parts],
        high=[max(b.high[i] for i in p) for p in parts],
        low=[min(b.low[i] for i in p) for p in parts],
        close=[b.close[p[-1]] for p in parts],
        volume=[math.fsum(b.volume[i] for i in p) for p in parts],
        funding=[b.funding[p[-1]] for p in parts],
        basis=[b.basis[p[-1]] for p in parts],
    )


def at_interval(b, interval: int, length: int, function) -> Values:
    """At each bar, the value of the newest longer bar whose end is not after the bar's own end.

    Args:
        b: Bars, with `time`, `funding` and `basis`.
        interval: Length of a bar.
        length: Of a longer bar.
        function: From longer bars to their values.
    """
    longer = longer_bars(b, length)
    values, out = function(longer), []
    for time in b.time:
        ended = [v for s, v in zip(longer.start, values, strict=True) if s + length <= time + interval]
        out.append(ended[-1] if ended else None)
    return out


def sigmas(opens: list[float], closes: list[float]) -> list[float]:
    """Exponentially weighted volatility of a bar, decay 0.94, begun with the first bar's own change."""
    variance, out = math.log(closes[0] / opens[0]) ** 2, []
    for i, close in enumerate(closes):
        if i:
            variance = 0.94 * variance + 0.06 * math.log(close / closes[i - 1]) ** 2
        out.append(math.sqrt(variance))
    return out


def bust_price(side: int, quantity: float, entry: float, left: float, brackets) -> float:
    """The liquidation price by the exchange's table: of each bracket in turn, is its price's notional in it?

    Args:
        brackets: (notional from, notional to, rate, amount), ascending; the last has no end.
    """
    for i, (floor, cap, rate, amount) in enumerate(brackets):
        if side > 0:
            price = (quantity * entry - left - amount) / (quantity * (1 - rate))
        else:
            price = (quantity * entry + left + amount) / (quantity * (1 + rate))
        slack = 1e-9 * cap
        starts = quantity * price >= floor - slack or i == 0
        if starts and (quantity * price <= cap + slack or i == len(brackets) - 1):
            return price
    raise AssertionError("no bracket holds its own price")


@dataclass
class Trade:
    """A closed trade of the twin."""

    entry_bar: int
    exit_bar: int
    side: int
    quantity: float
    entry_price: float
    exit_price: float
    fees: float
    funding: float
    pnl: float
    reason: str


@dataclass
class Outcome:
    """What the twin found."""

    trades: list[Trade] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    refused: int = 0
    gaps: int = 0


def backtest(bars, signals, settlements, o) -> Outcome:
    """Rules 1 to 17 for one strategy, in the order a trader would tell them.

    Args:
        bars: Lists `time`, `open`, `high`, `low`, `close`, `volume`.
        signals: Lists `long`, `short`, `exit_long`, `exit_short`, `atr` (None: no value).
        settlements: (time, rate, mark or None), on full minutes.
        o: Options: `fraction, leverage, stop, target, trail, max_hold, delay, margined, tick, lot, min_notional,
            brackets, liquidation_fee, taker, maker, half_spread, k, interval, start`.
    """
    out, cash, held, entry, leave = Outcome(), o.start, None, None, None
    sigma = sigmas(bars.open, bars.close)

    def worse(price: float, notional: float, direction: int, t: int) -> float:
        """A market order at bar t: half the spread and impact against us, by what the bar before showed."""
        vol = bars.volume[t - 1] * bars.close[t - 1]
        rate = o.half_spread + o.k * sigma[t - 1] * math.sqrt(notional / vol if vol > 0 else 1.0)
        return price * (1 + direction * min(rate, 0.5))

    def bust(p) -> float:
        """Price at which margin and result make the maintenance margin."""
        return bust_price(p.side, p.quantity, p.price, p.margin, o.brackets)

    def fund(p, amount: float) -> float:
        got = max(amount, -p.margin) if o.margined else amount
        p.margin += got
        p.funding += got
        return got

    def close(p, reference: float, why: str, t: int) -> float:
        """Everything out; returns what comes back to the cash."""
        price, rate = reference, o.maker
        if why != "TAKE_PROFIT":
            price, rate = worse(reference, p.quantity * reference, -p.side, t), o.taker
        if why == "LIQUIDATION":
            rate += o.liquidation_fee
        moved = p.side * p.quantity * (price - p.price)
        fee = p.quantity * price * rate
        if o.margined and moved < -p.margin:
            moved, fee = -p.margin, 0.0
            price = p.price - p.side * p.margin / p.quantity
        elif o.margined and moved - fee < -p.margin:
            fee = p.margin + moved
        pnl = moved - fee - p.fee + p.funding
        out.trades.append(Trade(p.bar, t, p.side, p.quantity, p.price, price, p.fee + fee, p.funding, pnl, why))
        return moved - fee

    for t in range(len(bars.close)):
        now, ends = bars.time[t], bars.time[t] + o.interval
        since = bars.time[t - 1] + o.interval if t else now
        if held and now > since:
            out.gaps += 1
        at_open = [(r, m) for s, r, m in settlements if since <= s <= now]
        inside = [(r, m) for s, r, m in settlements if now < s < ends]
        if held and at_open:
            due = math.fsum(r * (bars.open[t] if m is None else m) for r, m in at_open)
            cash += fund(held, -held.side * held.quantity * due)

        if held:
            side, price = held.side, bars.open[t]
            busted = o.margined and (price <= bust(held) if side > 0 else price >= bust(held))
            levels = [
                x for x in (held.stop, held.best - side * o.trail * held.atr if o.trail else None) if x is not None
            ]
            stopped = any(price <= x if side > 0 else price >= x for x in levels)
            jumped = held.target is not None and side * (price - held.target) >= o.tick * (1 - 1e-6)
            if busted:
                cash += close(held, price, "LIQUIDATION", t)
                held = None
            elif leave:
                cash += close(held, price, leave, t)
                held = None
            elif jumped and not stopped:
                cash += close(held, held.target, "TAKE_PROFIT", t)
                held = None
        leave = None

        if entry and entry.wait > 0:
            entry.wait -= 1
        elif entry:
            side, atr, entry = entry.side, entry.atr, None
            if held and held.side != side:
                cash += close(held, bars.open[t], "OPPOSITE", t)
                held = None
            if not held:
                notional = min(cash * o.fraction * o.leverage, cash / (1 / o.leverage + o.taker))
                price = worse(bars.open[t], max(notional, 0.0), side, t)
                lots = math.floor(notional / price / o.lot + 1e-9)
                quantity = lots / round(1 / o.lot)
                if notional <= 0 or lots <= 0 or quantity * price < o.min_notional:
                    out.refused += 1
                else:
                    fee = quantity * price * o.taker
                    cash -= fee
                    target = None
                    if o.target:
                        ticks = (price + side * o.target * atr) / o.tick
                        target = (math.ceil(ticks - 1e-6) if side > 0 else math.floor(ticks + 1e-6)) * o.tick
                    held = SimpleNamespace(
                        side=side, quantity=quantity, price=price, bar=t, fee=fee, funding=0.0, atr=atr, best=price,
                        margin=quantity * price / o.leverage, target=target,
                        stop=price - side * o.stop * atr if o.stop else None,
                    )  # fmt: skip

        if held:
            side = held.side
            worst, best = (bars.low[t], bars.high[t]) if side > 0 else (bars.high[t], bars.low[t])
            levels = []
            if o.margined:
                levels.append((bust(held), "LIQUIDATION"))
            if held.stop is not None:
                levels.append((held.stop, "STOP"))
            if o.trail:
                levels.append((held.best - side * o.trail * held.atr, "TRAILING"))
            out_at, why = None, None
            if levels:
                # The first met on the way against us; a liquidation before a stop at the same price.
                level, name = max(levels, key=lambda pair: side * pair[0])
                if side * (worst - level) <= 0:
                    out_at, why = (min if side > 0 else max)(level, bars.open[t]), name
            if why is None and held.target is not None and side * (best - held.target) >= o.tick * (1 - 1e-6):
                out_at, why = held.target, "TAKE_PROFIT"
            flows = [-side * r * (bars.open[t] if m is None else m) for r, m in inside]
            if why:
                paid = math.fsum(x for x in flows if x < 0)
                if paid:
                    cash += fund(held, held.quantity * paid)
                cash += close(held, out_at, why, t)
                held = None
            else:
                if flows:
                    cash += fund(held, held.quantity * math.fsum(flows))
                held.best = max(held.best, best) if side > 0 else min(held.best, best)

        out.equity.append(cash + (held.side * held.quantity * (bars.close[t] - held.price) if held else 0.0))

        if held:
            if (signals.exit_long if held.side > 0 else signals.exit_short)[t]:
                leave = "EXIT_RULE"
            elif o.max_hold and t - held.bar + 1 >= o.max_hold:
                leave = "MAX_HOLD"
        wanted = {(True, False): 1, (False, True): -1}.get((signals.long[t], signals.short[t]))
        if entry is None and wanted and not (held and held.side == wanted):
            atr = signals.atr[t]
            if not (o.stop or o.target or o.trail) or (atr is not None and atr > 0):
                entry = SimpleNamespace(side=wanted, atr=atr, wait=o.delay)
    return out
