"""What many campaigns say of the gate: false alarms with their interval, the power curve, and a picture of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ai_brain.calibration.share import share_interval
from ai_brain.calibration.trials_of_the_gate import Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """How often an edge of one size was found."""

    campaigns: int
    share: float
    low95: float
    high95: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The figures of a calibration."""

    campaigns: int
    """On markets with nothing to find."""
    false_review_share: float
    """Of them, those that sent anything to review."""
    false_review_upper95: float
    """Upper end of its exact 95 % interval."""
    naive_false_share: float
    """Of the same campaigns, those whose best backtest would have convinced the naive gate."""
    power: dict[str, float]
    """Annual net Sharpe ratio that the planted edge has on its market -> share of campaigns that found it."""
    power_detail: dict[str, Found]
    power_expected: dict[str, Found]
    """The same where the edge has that ratio on average over markets, and each shows what chance makes of it."""
    ideas_a_campaign: int
    bars: int
    looked_a_campaign: float
    """Ideas whose performance was computed, on average; the others were refused before."""
    vaults_opened: float
    """A campaign, where there was nothing to find."""
    reasons: dict[str, int]
    """Deciding reasons of all ideas where there was nothing to find."""
    ideas_a_second: float
    noise_wall_s: float
    """Real seconds until the last campaign with nothing to find was judged; these come first."""
    wall_s: float


def calibration_of(
    noise: Sequence[Outcome],
    planted: Mapping[float, Sequence[Outcome]],
    expected: Mapping[float, Sequence[Outcome]],
    *,
    bars: int,
    noise_wall_s: float,
    wall_s: float,
) -> Calibration:
    """Figures of finished campaigns.

    Args:
        noise: Where there was nothing to find; at least one.
        planted: By the edge's annual net Sharpe ratio on its market.
        expected: The same by its ratio on average over markets.
        bars: Of each market.
        noise_wall_s: Real seconds until all of `noise` were judged.
        wall_s: That all of it took, real seconds.
    """
    false = sum(each.sent > 0 for each in noise)
    everything = [*noise, *(one for by_edge in (planted, expected) for some in by_edge.values() for one in some)]
    detail = {f"{edge:g}": _found(outcomes) for edge, outcomes in sorted(planted.items()) if outcomes}
    reasons = Counter[str]()
    for each in noise:
        reasons.update(each.reasons)
    return Calibration(
        campaigns=len(noise),
        false_review_share=false / len(noise),
        false_review_upper95=share_interval(false, len(noise))[1],
        naive_false_share=sum(each.naive for each in noise) / len(noise),
        power={edge: found.share for edge, found in detail.items()},
        power_detail=detail,
        power_expected={f"{edge:g}": _found(outcomes) for edge, outcomes in sorted(expected.items()) if outcomes},
        ideas_a_campaign=noise[0].ideas,
        bars=bars,
        looked_a_campaign=sum(each.looked for each in noise) / len(noise),
        vaults_opened=sum(each.opened for each in noise) / len(noise),
        reasons=dict(reasons.most_common()),
        ideas_a_second=sum(each.ideas for each in everything) / wall_s,
        noise_wall_s=noise_wall_s,
        wall_s=wall_s,
    )


def _found(outcomes: Sequence[Outcome]) -> Found:
    count = sum(each.found for each in outcomes)
    low, high = share_interval(count, len(outcomes))
    return Found(len(outcomes), count / len(outcomes), low, high)


def as_json(calibration: Calibration) -> dict[str, object]:
    """Plain values."""
    return asdict(calibration)


def draw(calibration: Calibration, path: Path) -> None:
    """The two questions in one picture: how often it cries wolf, and how often it sees one.

    Raises:
        OSError: it cannot be written there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    shares = (calibration.naive_false_share, calibration.false_review_share)
    bars = left.bar(("naive gate", "this gate"), shares, color=("#999999", "#0072B2"), width=0.6)
    upper = calibration.false_review_upper95 - calibration.false_review_share
    left.errorbar((1,), shares[1:], yerr=((0.0,), (upper,)), color="black", capsize=4, fmt="none")
    left.bar_label(bars, labels=[f"{share:.1%}" for share in shares], padding=6)
    left.axhline(0.10, color="#D55E00", linestyle="--", linewidth=1)
    left.annotate("q = 0.10", (0.5, 0.10), xytext=(0, 3), textcoords="offset points", ha="center", color="#D55E00")
    left.set(ylim=(0, 1.1), ylabel="share of campaigns that send something")
    left.set_title(f"Nothing to find: {calibration.campaigns:,} campaigns", fontsize=10)
    edges = sorted(calibration.power_detail, key=float)
    found = [calibration.power_detail[edge] for edge in edges]
    at, share = [float(edge) for edge in edges], [each.share for each in found]
    if found:
        errors = ([s - f.low95 for s, f in zip(share, found, strict=True)], [f.high95 - f.share for f in found])
        right.errorbar(at, share, yerr=errors, marker="o", color="#0072B2", capsize=3, label="edge on its market")
        right.axhline(0.8, color="#D55E00", linestyle="--", linewidth=1)
        right.annotate("0.8", (at[0], 0.8), xytext=(0, 3), textcoords="offset points", color="#D55E00")
    if calibration.power_expected:
        edges = sorted(calibration.power_expected, key=float)
        average = [calibration.power_expected[edge].share for edge in edges]
        right.plot(
            [float(edge) for edge in edges],
            average,
            marker="s",
            color="#777777",
            linestyle=":",
            label="on average over markets",
        )
        right.legend(fontsize=8, loc="lower right", frameon=False)
    right.set(ylim=(0, 1.05), xlabel="annual net Sharpe ratio of the planted edge", ylabel="share found")
    years = calibration.bars / 8760
    title = f"One true idea among {calibration.ideas_a_campaign}, {years:.0f} years of hours"
    right.set_title(title, fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})
