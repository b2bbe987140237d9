"""What is drawn is drawn from what is on record, and fits a phone; the pictures themselves were looked at."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from ai_brain.evidence.curve import Curve
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.verdict import Finding, Verdict
from ai_brain.paper.account import PaperAccount, save_account
from ops.apart import apart
from ops.pictures import commission
from ops.pictures.album import Subject, draw_album
from ops.pictures.carry import Payment, carry_chart
from ops.pictures.commission import Album, Page, drawn
from ops.pictures.equity import drawdown_pct, equity_chart
from ops.pictures.funnel import SHOWN, Funnel, _rows
from ops.pictures.gathered import _on, case_of, equity_series, funnel_of, payments
from ops.pictures.verdict import Case, _number, _numbers, verdict_page
from tests.ops.papers import carry_in, evidence_of, put_in_review
from trading.domain.clock import parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import FarmError, StateFileError
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move

AT_MS = parse_iso("2026-01-21T09:00:00Z")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def size(png: bytes) -> tuple[int, int]:
    """Width and height that a PNG says."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def chart(*, is_synthetic: bool = False, points: int = 48) -> bytes:
    times = [AT_MS + hour * HOUR_MS for hour in range(points)]
    values = [1000.0 + hour % 7 for hour in range(points)]
    late = [float("nan")] * (points // 2) + values[points // 2 :]
    return equity_chart(times, {"live": values, "paper": late}, title="accounts", is_synthetic=is_synthetic)


def test_the_chart_is_a_png_as_wide_as_a_phone_shows_sharp_and_a_made_up_market_is_stamped() -> None:
    png = chart()
    assert size(png) == (1080, 864)
    assert 5_000 < len(png) < 300_000
    assert chart(is_synthetic=True) != png


def test_a_series_of_another_length_than_its_times_is_refused() -> None:
    with pytest.raises(ValueError, match="live has 2 values for 1 times"):
        equity_chart([AT_MS], {"live": [1.0, 2.0]}, title="", is_synthetic=False)


def test_a_fall_is_measured_from_the_peak_before_it() -> None:
    falls = drawdown_pct([100.0, 110.0, 99.0, float("nan"), 110.0])
    assert falls[:3] == pytest.approx([0.0, 0.0, -10.0])
    assert falls[3] != falls[3]
    assert falls[4] == 0.0


def audit(home: Home, *points: tuple[float, float, float]) -> None:
    """Cycles of a live account: days before AT_MS, equity, flows."""
    log = AuditLog(home.audit_file)
    for days, equity, flows in points:
        books = {"equity_quote": str(equity), "flows_quote": str(flows)}
        line = AuditLine(AT_MS - int(days * DAY_MS), "live", CycleStatus.NO_TRADE, Reason.HOLDING, "c", equity=books)
        log.append(line)


def test_what_was_put_in_is_no_rise_of_the_live_line_and_a_time_without_cycles_is_a_hole(home: Home) -> None:
    audit(home, (40, 900, 0), (10, 1000, 0), (9.9, 1010, 0), (2, 1520, 500), (1.95, 1515, 500), (0, 1530, 500))
    times, series = equity_series(home, [], now_ms=AT_MS, start_quote=1000.0)
    (live,) = series.values()
    assert len(times) == len(live)
    assert times[0] >= AT_MS - 10 * DAY_MS - 3 * HOUR_MS
    known = [value for value in live if value == value]
    assert known[0] == pytest.approx(100.0)
    assert known[-1] == pytest.approx(100.0 + 30 / 1500 * 100)
    assert max(known) == pytest.approx(102.0)
    assert sum(value != value for value in live) > len(live) / 2


def test_a_line_of_another_lab_is_no_point_and_costs_no_picture(home: Home) -> None:
    audit(home, (2, 1000, 0), (1, 1010, 0))
    whole = home.audit_file.read_bytes()
    home.audit_file.write_bytes(whole + b'{"at_ms":%d,"who":"knows"}\n' % AT_MS)
    times, series = equity_series(home, [], now_ms=AT_MS, start_quote=1000.0)
    known = [value for value in series["live"] if value == value]
    assert len(times) > 10
    assert (known[0], known[-1]) == (pytest.approx(100.0), pytest.approx(101.0))


def paper(home: Home, number: int, growth: float) -> None:
    spec = carry_in(Stage.DRY_RUN, number=number)
    curve = [(AT_MS - hour * HOUR_MS, 10_000.0 * (1 + growth * (48 - hour) / 48)) for hour in range(48, -1, -1)]
    account = PaperAccount(
        spec_id=spec.id, spec_sha256="s", family="funding_carry", interval="1h", started_ms=curve[0][0],
        starting_quote=10_000.0, equity_quote=curve[-1][1], settled_equity_quote=10_000.0, book={}, curve=curve,
    )  # fmt: skip
    save_account(home, account)


def test_the_paper_accounts_that_are_ahead_have_a_line_each(home: Home) -> None:
    for number in range(6):
        paper(home, number, 0.01 * number)
    specs = [carry_in(Stage.DRY_RUN, number=number) for number in range(7)]
    times, series = equity_series(home, specs, now_ms=AT_MS, start_quote=0.0)
    assert list(series) == [f"paper {specs[number].id}" for number in (5, 4, 3, 2)]
    assert [values[-1] for values in series.values()] == pytest.approx([105.0, 104.0, 103.0, 102.0])
    assert (times[0], times[-1]) == (AT_MS - 48 * HOUR_MS, AT_MS)


def test_a_line_begins_where_its_account_began_also_when_steps_are_coarser_than_its_points() -> None:
    line = _on([0, 130, 260, 390], [(10, 100.0), (70, 99.0), (135, 98.0), (265, 98.5)], 130)
    assert line[0] != line[0]
    assert line[1:] == [100.0, 98.0, 98.5]
    assert drawdown_pct(line)[2] == pytest.approx(-2.0)


def test_a_lab_without_accounts_has_no_line_and_one_without_a_live_position_no_payment(home: Home) -> None:
    assert equity_series(home, [], now_ms=AT_MS, start_quote=0.0) == ([], {})
    assert payments(home) == []


def test_every_idea_is_in_one_place_of_the_funnel() -> None:
    on_paper = carry_in(Stage.DRY_RUN, number=1)
    given_up = move(carry_in(Stage.DRY_RUN, number=2), Stage.RETIRED, by="paper", why="lost", at_ms=AT_MS)
    refused = move(carry_in(Stage.BACKTESTING, number=3), Stage.RETIRED, by="gate", why="LOST_ON_SEARCH", at_ms=AT_MS)
    specs = [on_paper, given_up, refused, carry_in(Stage.REVIEW, number=4), carry_in(Stage.GENERATED, number=5)]
    funnel = funnel_of(specs, {"LOST_ON_SEARCH": 1, "BAD_SPEC": 3, "NEVER": 0}, tried=5)
    assert funnel == Funnel(5, {"LOST_ON_SEARCH": 1, "BAD_SPEC": 3}, 1, 1, 1, 1, 0)
    assert funnel.seen == 8
    assert _rows(funnel)[:3] == [
        ("ideas seen", 8, "#1b1f24"),
        ("✗ bad spec", 3, "#8a8f98"),
        ("✗ lost on search", 1, "#8a8f98"),
    ]


def test_rare_reasons_share_a_bar_and_no_count_is_lost() -> None:
    funnel = Funnel(0, {f"R{n}": n + 1 for n in range(SHOWN + 4)}, 0, 0, 0, 0, 0)
    rows = _rows(funnel)
    assert rows[SHOWN + 1][:2] == ("✗ 4 other reasons", 1 + 2 + 3 + 4)
    assert sum(count for _, count, _ in rows[1:]) == funnel.seen


def test_the_album_of_an_empty_lab_is_its_funnel_and_of_one_with_accounts_its_equity_too(home: Home) -> None:
    subject = Subject(home, [], {}, 0, AT_MS, 0.0, is_synthetic=False)
    (funnel,) = draw_album(subject)
    assert size(funnel)[0] == 1080
    paper(home, 1, 0.01)
    assert len(draw_album(replace(subject, specs=[carry_in(Stage.DRY_RUN, number=1)]))) == 2


async def test_a_process_of_its_own_draws_what_would_be_drawn_here(home: Home) -> None:
    spec = put_in_review(home)
    paper(home, 1, 0.01)
    album = Album(home=home.root, is_synthetic=True, refused={"BAD_SPEC": 2}, tried=3, now_ms=AT_MS, start_quote=0.0)
    assert await drawn(album) == album.draw()
    page = Page(home=home.root, is_synthetic=False, spec_id=spec.id, paper="n = 42", refutation="it loses")
    assert [size(one)[0] for one in page.draw()] == [1080]
    assert Page(home=home.root, is_synthetic=False, spec_id="mr-1", paper="", refutation="").draw() == ()


async def test_a_drawing_that_cannot_be_made_is_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commission, "apart", apart)  # this once in a process of its own, as the service has it
    spec = put_in_review(home)
    page = Page(home=home.root, is_synthetic=False, spec_id=spec.id, paper="", refutation="")
    (home.state / "evidence" / f"{spec.id}.json").write_text("{")
    with pytest.raises(StateFileError, match=rf"{spec.id}\.json.*set aside"):
        await drawn(page)
    monkeypatch.setattr(commission, "LIMIT_S", 0.05)
    with pytest.raises(FarmError, match=r"not drawn within 0\.05 s"):
        await drawn(page)


def test_a_carry_is_drawn_from_its_first_settlement_on_whatever_is_on_record() -> None:
    with pytest.raises(ValueError, match="no settlement yet"):
        carry_chart([], is_synthetic=False)
    first = Payment(AT_MS, 0.0145, None)
    assert size(carry_chart([first], is_synthetic=False)) == (1080, 864)
    more = [replace(first, at_ms=AT_MS + n * 8 * HOUR_MS, expected_quote=0.0145 if n % 2 else None) for n in range(5)]
    assert size(carry_chart(more, is_synthetic=True)) == (1080, 864)


def test_the_page_of_a_verdict_is_upright_with_a_curve_and_without(home: Home) -> None:
    spec = put_in_review(home)
    case = case_of(home, spec.id, paper="n = 31", refutation="")
    assert case is not None
    assert case.curve is None
    assert size(verdict_page(case, is_synthetic=False)) == (1080, 1860)
    failed = Finding(
        reason=GateReason.LOST_ON_SEARCH, passed=False, refuses=True, value=None, limit=0.0, note="word " * 60
    )
    evidence = evidence_of(spec, Verdict.REJECTED).model_copy(update={"findings": (failed,) * 30})
    hours = np.arange(50) * HOUR_MS + AT_MS
    stretch = ("search",) * 20 + ("walk-forward 1/2",) * 10 + ("walk-forward 2/2",) * 10 + ("vault",) * 10
    crowded = Case(evidence, Curve(hours, np.linspace(1e4, 1.1e4, 50), stretch), "long " * 99, "longer " * 99)
    assert size(verdict_page(crowded, is_synthetic=True)) == (1080, 1860)
    assert case_of(home, "fc-20240601-ffffff", paper="", refutation="") is None


def words_on(case: Case, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of the page, in the order it was written."""
    from matplotlib.figure import FigureBase

    told: list[str] = []
    write = FigureBase.text

    def noted(self: FigureBase, x: float, y: float, s: str, *rest: object, **more: object) -> object:
        told.append(s)
        return write(self, x, y, s, *rest, **more)  # type: ignore[arg-type]  # as it was called

    with monkeypatch.context() as reading:
        reading.setattr(FigureBase, "text", noted)
        verdict_page(case, is_synthetic=False)
    return told


def test_the_page_of_a_passed_gate_approves_nothing_and_hides_no_condition(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = put_in_review(home)
    paper_evidence = evidence_of(spec)
    last = Finding(
        reason=GateReason.DEFLATED_SHARPE_LOW, passed=True, refuses=False, value=0.97, limit=0.95, note="0.970."
    )
    short = Finding(
        reason=GateReason.DATA_TOO_SHORT, passed=True, refuses=True, value=900.0, limit=500.0,
        note="900 bars of 500 needed; fetch more history.",
    )  # fmt: skip
    many = tuple(short.model_copy(update={"note": f"question {n}."}) for n in range(30))
    evidence = paper_evidence.model_copy(update={"findings": (short, *many, *paper_evidence.findings, last)})
    told = words_on(Case(evidence, None, "n = 31", ""), monkeypatch)
    assert not any("APPROVED" in words for words in told)
    assert told[0] == "Gate passed - waits for you"
    conditions_at = told.index("Its conditions: 2 of 7 hold, 4 not asked")
    others_at = told.index("What else it was asked: 31 of 31 answers hold")
    assert [words for words in told[conditions_at:others_at] if "|" in words][1:] == [
        "0.970 | at least 0.95", "+1.200% | above 0"
    ]  # fmt: skip
    assert "900 bars of 500 needed." in told, "nothing is to be fetched where it is enough"
    assert told[-1] == "and 14 more that hold"


def test_a_return_is_told_as_the_sentence_beside_it_tells_it() -> None:
    late = Finding(
        reason=GateReason.LOST_ONE_BAR_LATE, passed=True, refuses=False, value=0.0370512, limit=0.0,
        note="Net return with entries one bar late +3.705%.",
    )  # fmt: skip
    assert _numbers(late) == "+3.705% | 0"
    assert _numbers(late.model_copy(update={"limit": -0.02})) == "+3.705% | -2.000%"
    assert _numbers(late.model_copy(update={"value": None})) == ""


@pytest.mark.parametrize(
    ("value", "told"), [(7.2e-12, "0"), (17520.0, "17,520"), (0.9965, "0.9965"), (-0.02316, "-0.02316"), (0.0, "0")]
)
def test_a_measured_number_is_told_without_powers_of_ten(value: float, told: str) -> None:
    assert _number(value) == told
