"""`./lab fills`: what own fills and recorded books have taught, as the last night wrote it."""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.desk.fill_statistics import ENOUGH, ENOUGH_GROUPS
from ai_brain.desk.learned_file import learned_file, read_learned
from ai_brain.desk.learned_fills import LearnedBooks, LearnedFills, LearnedRatio, LearnedShare
from ops.columns import columns
from ops.environment import find_home
from ops.judgement.costs_in_force import carry_in_force, prior_of
from ops.settings import read_settings
from trading.domain.clock import iso
from trading.simulator.costs import FITTED_K_SOURCE
from trading.storage.home import Home

NOT_ENOUGH = "not enough data"
RATIO_HEAD = ("market", "orders", "size, USDT", "n", "sagas", "paid / model", "95 %", "charged", "since")
SHARE_HEAD = ("market", "from", "within", "behind", "n", "filled", "95 %")


def run_fills() -> int:
    """Print it; 0.

    Raises:
        StateFileError: the file is broken and has been set aside.
    """
    home = find_home()
    print("\n".join(fill_lines(home)))
    return 0


def fill_lines(home: Home) -> list[str]:
    """The page a person reads.

    Raises:
        StateFileError: the file is broken and has been set aside.
    """
    learned = read_learned(home)
    if learned is None:
        prior = prior_of("", "")
        return [
            f"Nothing learned from own fills yet: no {learned_file(home).name}; the job `fills` writes it at 00:10 UTC "
            "once there is an order or a recording.",
            f"Charged: {FITTED_K_SOURCE}; its interval {prior.low:.2f} to {prior.high:.2f} times.",
        ]
    settings = read_settings(home.settings_file)
    impact_bps = carry_in_force(settings, learned, *settings.venue.symbols).impact_bps
    lines = [f"{learned.version}, as of {iso(learned.as_of_ms)}", "", "Slippage of orders that took, over the model's"]
    ratios = [_ratio_row("against the mid", r) for r in learned.slippage]
    ratios += [_ratio_row("beyond the best price", r) for r in learned.impact]
    lines += columns(RATIO_HEAD, ratios) or ["no order of ours has taken yet"]
    weighed = (
        f"The carry's decision weighs {impact_bps:.3g} bps a leg; carry.impact_bps is {settings.carry.impact_bps:g}."
    )
    lines.append(weighed)
    lines += [_books_line(books) for books in learned.books]
    lines += [
        "",
        "Filled as a maker: own slices whole, in recorded books orders that the market went through",
    ]
    lines += columns(SHARE_HEAD, [_share_row(share) for share in learned.maker]) or ["none has rested yet"]
    return [*lines, *_left_out(learned)]


def _ratio_row(what: str, r: LearnedRatio) -> Sequence[str]:
    measured = "-" if r.measured is None else f"{r.measured:.2f}"
    told = (f"{r.ratio:.2f}", f"{r.low:.2f} to {r.high:.2f}") if r.is_enough else (f"({measured})", NOT_ENOUGH)
    since = iso(r.since_ms)[:10] if r.since_ms else "-"
    charged = f"{r.assumed:.2f}" + (f" up to {r.large_quote:,.0f}" if r.assumed < 1.0 else "")
    return f"{r.market} {r.symbol}", what, r.size, str(r.n), str(r.sagas), *told, charged, since


def _share_row(s: LearnedShare) -> Sequence[str]:
    is_enough = s.n >= ENOUGH
    share = f"{s.filled} ({s.filled / s.n:.0%})" if is_enough else str(s.filled)
    interval = f"{s.low:.0%} to {s.high:.0%}" if is_enough else NOT_ENOUGH
    behind = "at the best" if s.behind_bps == 0 else f"{s.behind_bps:g} bps"
    part = f", {s.in_part} in part" if s.in_part else ""
    return f"{s.market} {s.symbol}", s.source, f"{s.within_s:g} s", behind, str(s.n), share + part, interval


def _books_line(b: LearnedBooks) -> str:
    found = "nothing" if b.measured is None else f"{b.measured:.2f} times the model's"
    nights = "the last night" if len(b.nights) == 1 else f"the last {len(b.nights)} nights"
    return (
        f"Recorded books of {b.market} {b.symbol}: {b.n} walks of {b.notional_quote:,.0f} USDT in {b.hours} hours paid "
        f"{found}; the prior is {b.prior:.2f}, by the median of {nights}."
    )


def _left_out(learned: LearnedFills) -> list[str]:
    lines = [f"Under {ENOUGH} orders or {ENOUGH_GROUPS} sagas nothing is said and nothing changes."]
    if learned.blind:
        lines.append(f"{learned.blind} orders took without a quote beside them (the way to flat, or an older lab).")
    if learned.barless:
        lines.append(f"{learned.barless} orders wait for their bar.")
    return lines
