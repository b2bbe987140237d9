"""Who was listed when, under which filters: from the recorded exchange info, and from small documents of our own."""

from __future__ import annotations

import gzip
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from trading.domain.clock import iso, parse_iso
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.instrument import Market
from trading.market import universe_snapshot
from trading.market.funding_schedule import Told
from trading.market.listing import FILLER_ONBOARD_MS, FundingTerms
from trading.market.universe import Universe
from trading.market.universe_snapshot import Kind, Snapshot, of_document, packed, read_document, unpacked
from trading.market.universe_store import Kept, UniverseStore

PAYLOADS = DATA / "payloads" / "binance_rest"
DAY_MS = 86_400_000
FIRST_MS = 1_704_067_200_000
"""2024-01-01."""
ENDLESS_MS = 4_133_404_800_000
"""The delivery date that the venue gives to a perpetual."""


def day(number: float) -> int:
    return FIRST_MS + int(number * DAY_MS)


def perp(
    symbol: str = "AAAUSDT",
    *,
    status: str = "TRADING",
    minimum: str = "5",
    tick: str = "0.10",
    onboard_ms: int = FIRST_MS - 100 * DAY_MS,
    delivery_ms: int = ENDLESS_MS,
) -> dict[str, object]:
    return {
        "symbol": symbol, "status": status, "contractType": "PERPETUAL", "baseAsset": symbol[:3], "quoteAsset": "USDT",
        "onboardDate": onboard_ms, "deliveryDate": delivery_ms, "liquidationFee": "0.012500",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": "1", "maxPrice": "99"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MIN_NOTIONAL", "notional": minimum},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
        ],
    }  # fmt: skip


def spot(symbol: str = "AAAUSDT", *, status: str = "TRADING") -> dict[str, object]:
    return {
        "symbol": symbol, "status": status, "baseAsset": symbol[:3], "quoteAsset": "USDT",
        "filters": [
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "maxNotional": "9000000.00000000"},
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
             "askMultiplierUp": "4", "askMultiplierDown": "0.1"},
            {"filterType": "PRICE_FILTER", "tickSize": "0.00000000"},
        ],
    }  # fmt: skip


def listed(number: float, *entries: dict[str, object], is_complete: bool = True) -> Snapshot:
    document = {"timezone": "UTC", "serverTime": day(number), "symbols": list(entries)}
    return of_document(document, f"day {number}", is_complete=is_complete)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> UniverseStore:
    """The recorded documents of four days, newest first, as nobody said in which order they come."""
    store = UniverseStore(tmp_path_factory.mktemp("market"))
    for path in sorted(PAYLOADS.glob("*exchangeInfo*.json.gz"), reverse=True):
        assert store.save(read_document(path.read_bytes(), path.name))[0] is Kept.NEW
    tables = PAYLOADS / "usdm_leverage_brackets.trim.json"
    at_ms = parse_iso("2024-12-01")
    store.save(read_document(tables.read_bytes(), tables.name, at_ms=at_ms, is_complete=False))
    return store


@needs_data
def test_the_recorded_documents_say_who_was_listed_and_who_went_between_which_two(recorded: UniverseStore) -> None:
    universe = Universe(recorded.snapshots())
    counts = {"2021-09-07": 132, "2021-10-01": 130, "2022-05-05": 154, "2025-03-07": 407}
    for date, count in counts.items():  # two quarterly contracts of September 2021 had ended by October
        found = universe.symbols(Market.PERP, parse_iso(date))
        assert found is not None
        assert len(found.value) == count, date
    held = recorded.snapshots(Kind.PERP)
    gone = sorted(held[0].rows.keys() - held[2].rows.keys())
    assert len(gone) == 26
    assert {"BTTUSDT", "LUNAUSDT", "MATICUSDT", "ICPUSDT"} <= set(gone)
    now_ms = parse_iso("2025-03-07")
    for symbol in gone:
        span = universe.of(Market.PERP, symbol, now_ms).delisted
        assert span is not None, symbol
        left = [one for one in held if symbol in one.rows][-1]
        following = held[held.index(left) + 1]
        if not symbol[-1].isdigit():
            assert (span.from_ms, span.to_ms) == (left.taken_ms, following.taken_ms), symbol
    expired = universe.of(Market.PERP, "BTCUSDT_210924", now_ms).delisted
    assert expired is not None
    assert str(expired) == "2021-09-24T08:00:00Z (the venue's deliveryDate)"
    assert str(universe.of(Market.PERP, "BTTUSDT", now_ms).delisted).startswith(
        "between 2021-09-06T13:13:38Z and 2022-05-04T20:00:36Z (gone from"
    )


@needs_data
def test_what_the_venue_was_settling_has_its_own_date_and_a_placeholder_two_seconds_off_is_no_end(
    recorded: UniverseStore,
) -> None:
    universe = Universe(recorded.snapshots())
    end = universe.end_of(Market.PERP, "WAVESUSDT")
    assert end is not None
    assert (iso(end.to_ms), end.is_exact) == ("2024-06-11T09:00:00Z", True)
    settling = [name for name, row in recorded.snapshots(Kind.PERP)[2].rows.items() if row["status"] == "SETTLING"]  # type: ignore[index]
    assert len(settling) == 29
    spans = [universe.end_of(Market.PERP, name) for name in settling]
    assert all(span is not None and span.is_exact for span in spans)
    assert recorded.snapshots(Kind.PERP)[2].rows["BTCUSDT"]["delivery_ms"] == 4_133_404_802_000  # type: ignore[index]
    assert universe.end_of(Market.PERP, "BTCUSDT") is None
    assert universe.of(Market.PERP, "WAVESUSDT", parse_iso("2024-01-01")).is_trading, "nobody knew it then"


@needs_data
def test_a_larger_minimum_is_known_from_the_later_snapshot_on_and_before_the_first_nothing_is(
    recorded: UniverseStore,
) -> None:
    universe = Universe(recorded.snapshots())

    def minimum(date: str) -> Decimal | None:
        known = universe.of(Market.PERP, "BTCUSDT", parse_iso(date)).listing
        return None if known is None else known.value.min_notional

    assert [minimum(d) for d in ("2021-09-06", "2021-09-07", "2025-03-06T11:38:23Z", "2025-03-06T11:38:24Z")] == [
        None, Decimal(5), Decimal(5), Decimal(100),
    ]  # fmt: skip
    before = universe.of(Market.PERP, "BTCUSDT", parse_iso("2020-01-01"))
    assert (before.listing, before.listed, before.is_trading) == (None, None, None)
    assert before.earliest is not None
    assert (iso(before.earliest.taken_ms), before.earliest.value.tick) == ("2021-09-06T13:13:38Z", Decimal("0.01"))
    told = [
        (iso(c.taken_ms)[:10], c.value) for c in universe.changes(Market.PERP, "BTCUSDT", 0, parse_iso("2026-01-01"))
    ]
    assert told == [
        ("2022-05-04", "tick 0.01 -> 0.1, liquidation_fee_rate 0.02 -> 0.0125"),
        ("2025-03-06", "min_notional 5 -> 100, liquidation_fee_rate 0.0125 -> 0.02"),
    ]


@needs_data
def test_the_venues_own_listing_dates_are_not_believed_against_its_own_snapshots(recorded: UniverseStore) -> None:
    universe, now_ms = Universe(recorded.snapshots()), parse_iso("2025-03-07")

    def when(symbol: str) -> str:
        return str(universe.of(Market.PERP, symbol, now_ms).listed)

    assert when("SOLVUSDT") == "2025-01-17T12:15:00Z (the venue's onboardDate)"
    assert when("BTCUSDT").startswith("not after 2021-09-06T13:13:38Z (first seen; the venue tells no date")
    assert "2021-07-30T07:00:00Z, yet did not list it later" in when("FOOTBALLUSDT")
    assert when("FOOTBALLUSDT").startswith("between 2022-05-04T20:00:36Z and 2025-03-06T11:38:23Z")
    assert "the venue says 2023-02-22T07:00:00Z now: listed anew, or renamed" in when("BNXUSDT")
    assert str(universe.of(Market.SPOT, "BCCBTC", now_ms).delisted) == (
        "not after 2021-04-29T07:27:28Z (status BREAK, perhaps for a while)"
    )
    waiting = universe.of(Market.PERP, "BTCSTUSDT", now_ms)
    assert (waiting.is_trading, waiting.delisted) == (False, None)


@needs_data
def test_old_and_new_names_of_filters_are_one_and_the_margin_table_is_the_recorded_one(
    recorded: UniverseStore,
) -> None:
    old = Universe(recorded.snapshots()).of(Market.SPOT, "BTCUSDT", parse_iso("2022-01-01")).listing
    newer = json.loads((PAYLOADS / "spot_symbols_production.trim.json").read_bytes())
    new = Universe([of_document(newer, "newer", at_ms=FIRST_MS, is_complete=False)])
    now = new.of(Market.SPOT, "BTCUSDT", FIRST_MS).listing
    assert old is not None
    assert now is not None
    assert [(v.min_notional, v.lot, v.price_up, v.price_down) for v in (old.value, now.value)] == [
        (Decimal(10), Decimal("0.000001"), Decimal(5), Decimal("0.2")),
        (Decimal(5), Decimal("0.00001"), Decimal(5), Decimal("0.2")),
    ]
    tables = Universe(recorded.snapshots()).of(Market.PERP, "BTCUSDT", parse_iso("2025-01-01")).brackets
    assert tables is not None
    assert len(tables.value) == 12
    assert (tables.value[1].maintenance_rate, tables.value[1].maintenance_amount_quote) == (0.005, 300.0)
    assert new.symbols(Market.SPOT, FIRST_MS) is None, "a copy that was cut down lists nobody"


@needs_data
def test_a_cut_copy_that_calls_itself_whole_is_refused_and_as_a_part_it_delists_nobody(
    recorded: UniverseStore,
) -> None:
    for path in sorted(PAYLOADS.glob("*exchangeInfo*.trim.json")):
        with pytest.raises(DataProviderError, match="import it with --partial"):
            recorded.save(read_document(path.read_bytes(), path.name))
    cut = PAYLOADS / "usdm_exchangeInfo_2025-03-06.trim.json"
    later = read_document(cut.read_bytes(), cut.name, at_ms=parse_iso("2025-03-08"))
    with pytest.raises(DataProviderError, match="lacks 390 of 407 symbols that traded"):
        recorded.save(later)
    part = read_document(cut.read_bytes(), cut.name, at_ms=parse_iso("2025-03-08"), is_complete=False)
    universe = Universe([*recorded.snapshots(), part])
    assert universe.end_of(Market.PERP, "AAVEUSDT") is None
    found = universe.symbols(Market.PERP, parse_iso("2025-03-09"))
    assert found is not None
    assert len(found.value) == 407


def test_a_value_of_later_is_not_known_before_it() -> None:
    universe = Universe([listed(10, perp(minimum="100")), listed(0, perp(minimum="5"))])
    for at, minimum in ((0, 5), (9.99, 5), (10, 100), (400, 100)):
        known = universe.of(Market.PERP, "AAAUSDT", day(at)).listing
        assert known is not None
        assert known.value.min_notional == minimum
        assert known.age_ms(day(at)) == day(at) - known.taken_ms
    early = universe.of(Market.PERP, "AAAUSDT", day(-1))
    assert (early.listing, early.listed, early.delisted) == (None, None, None)
    assert early.earliest is not None
    assert early.earliest.value.min_notional == 5


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.sampled_from(["TRADING", "BREAK", "PENDING_TRADING", "gone", "100"]), min_size=1, max_size=8),
    cut=st.integers(0, 7),
)
def test_nothing_that_comes_later_changes_what_was_known_before(words: list[str], cut: int) -> None:
    def snapshot(number: int, word: str) -> Snapshot:
        entry = perp(minimum="100") if word == "100" else perp(status=word)
        return listed(number, perp("ZZZUSDT"), *([] if word == "gone" else [entry]))

    every = [snapshot(number, word) for number, word in enumerate(words)]
    at_ms = day(cut + 0.5)
    with_later = Universe(every).of(Market.PERP, "AAAUSDT", at_ms)
    without = Universe(every[: cut + 1]).of(Market.PERP, "AAAUSDT", at_ms)
    for name in ("listing", "listed", "delisted", "is_trading", "brackets", "funding"):
        assert getattr(with_later, name) == getattr(without, name), name


def test_a_halt_between_two_days_of_trading_is_no_delisting_and_what_stays_away_is() -> None:
    halted = [listed(0, spot()), listed(1, spot(status="BREAK")), listed(2, spot(status="BREAK")), listed(3, spot())]
    assert Universe(halted).of(Market.SPOT, "AAAUSDT", day(3)).delisted is None
    in_halt = Universe(halted).of(Market.SPOT, "AAAUSDT", day(2)).delisted
    assert in_halt is not None
    assert (in_halt.from_ms, in_halt.to_ms) == (day(0), day(1))
    away = Universe([listed(0, spot(), spot("BBBUSDT")), listed(1, spot("BBBUSDT")), listed(2, spot("BBBUSDT"))])
    gone = away.end_of(Market.SPOT, "AAAUSDT")
    assert gone is not None
    assert (gone.from_ms, gone.to_ms) == (day(0), day(1))
    assert away.of(Market.SPOT, "AAAUSDT", day(0.5)).is_trading is True
    assert away.of(Market.SPOT, "AAAUSDT", day(1)).is_trading is False


def test_an_announced_end_is_known_ahead_and_holds_when_it_comes() -> None:
    universe = Universe([listed(0, perp(delivery_ms=day(5)))])
    known = universe.of(Market.PERP, "AAAUSDT", day(1))
    assert known.is_trading is True
    assert known.delisted is not None
    assert known.delisted.to_ms == day(5)
    assert universe.of(Market.PERP, "AAAUSDT", day(5)).is_trading is False
    assert universe.symbols(Market.PERP, day(6)) is not None
    assert universe.symbols(Market.PERP, day(6)).value == ()  # type: ignore[union-attr]
    assert universe.end_of(Market.PERP, "AAAUSDT") is None, "it had not come when the newest snapshot was taken"


def test_a_filter_that_does_not_hold_is_not_told_and_the_stricter_side_counts() -> None:
    known = Universe([listed(0, spot())]).of(Market.SPOT, "AAAUSDT", day(0)).listing
    assert known is not None
    assert (known.value.tick, known.value.lot, known.value.min_notional) == (None, None, Decimal(5))
    assert (known.value.price_up, known.value.price_down) == (Decimal(4), Decimal("0.2"))


def test_a_contract_without_terms_of_its_own_settles_by_the_venues_general_ones() -> None:
    terms = [{"symbol": "AAAUSDT", "fundingIntervalHours": 4, "adjustedFundingRateCap": "0.03",
              "adjustedFundingRateFloor": "-0.03"}]  # fmt: skip
    universe = Universe([of_document(terms, "terms", at_ms=day(1))])
    own = universe.of(Market.PERP, "AAAUSDT", day(1)).funding
    other = universe.of(Market.PERP, "BBBUSDT", day(1)).funding
    assert own is not None
    assert other is not None
    assert own.value == FundingTerms(4 * 3_600_000, 0.03, -0.03)
    assert other.value == FundingTerms(8 * 3_600_000, 0.02, -0.02)
    assert universe.of(Market.PERP, "AAAUSDT", day(0)).funding is None
    assert universe.funding_told("AAAUSDT") == [Told(day(1), 4 * 3_600_000)]


def test_a_day_without_a_change_costs_no_file_and_moves_what_is_known_of_the_last_one(tmp_path: Path) -> None:
    store = UniverseStore(tmp_path)
    assert store.save(listed(0, perp(), perp("BBBUSDT")))[0] is Kept.NEW
    for number in range(1, 5):
        assert store.save(listed(number, perp(), perp("BBBUSDT")))[0] is Kept.SAME
    assert store.save(listed(2, perp(), perp("BBBUSDT")))[0] is Kept.KNOWN
    moved = perp() | {"filters": [*perp()["filters"], {"filterType": "MARKET_LOT_SIZE", "maxQty": "7"}]}  # type: ignore[misc]
    assert store.save(listed(5, moved, perp("BBBUSDT")))[0] is Kept.SAME, "what moves daily is not kept"
    assert len(list(store.root.glob("perp-*"))) == 1
    assert store.save(listed(6, perp()))[0] is Kept.NEW
    universe = Universe(store.snapshots())
    end = universe.end_of(Market.PERP, "BBBUSDT")
    assert end is not None
    assert (end.from_ms, end.to_ms) == (day(5), day(6)), "it was there the day before"
    known = universe.of(Market.PERP, "BBBUSDT", day(5.5)).listing
    assert known is not None
    assert known.age_ms(day(5.5)) == DAY_MS // 2


@settings(max_examples=25, deadline=None)
@given(
    days=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from("57")), unique_by=lambda one: one[0], min_size=1, max_size=7
    )
)
@example(days=[(0, "5"), (4, "5"), (2, "7")])
@example(days=[(0, "5"), (2, "5"), (3, "5"), (1, "7")])
@example(days=[(0, "5"), (3, "5"), (2, "5"), (1, "7")])
@example(days=[(0, "5"), (1, "5"), (3, "5"), (4, "5"), (2, "7")])
@example(days=[(0, "5"), (4, "5"), (2, "7"), (3, "5"), (1, "5")])
def test_snapshots_come_in_any_order_and_say_the_same(days: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = UniverseStore(Path(folder))
        for number, minimum in days:
            store.save(listed(number, perp(minimum=minimum)))
        held = store.snapshots()
    universe = Universe(held)
    for number, minimum in days:
        known = universe.of(Market.PERP, "AAAUSDT", day(number)).listing
        assert known is not None
        assert (known.value.min_notional, known.age_ms(day(number)) >= 0) == (Decimal(minimum), True)
    recorded = sorted(day(number) for number, _ in days)
    ends = [*(one.taken_ms for one in held[1:]), day(99)]
    for one, end_ms in zip(held, ends, strict=True):
        of_it = [ms for ms in recorded if one.taken_ms <= ms < end_ms]
        assert (one.taken_ms, one.confirmed_ms) == (of_it[0], of_it[-1]), "seen first, and seen last"


@needs_data
@pytest.mark.parametrize("kind", [Kind.SPOT, Kind.PERP, Kind.BRACKETS])
def test_one_symbol_is_read_without_the_others_and_says_the_same(recorded: UniverseStore, kind: Kind) -> None:
    every = recorded.snapshots(kind)
    for symbol in [*sorted(every[0].rows)[:: max(1, len(every[0].rows) // 5)], "BTC", "TCUSDT", 'B"\n', ""]:
        for whole, one in zip(every, recorded.snapshots(kind, symbol=symbol), strict=True):
            assert one.rows == ({symbol: whole.rows[symbol]} if symbol in whole.rows else {})
            assert (one.taken_ms, one.is_complete, one.source) == (whole.taken_ms, whole.is_complete, whole.source)


def test_a_file_is_its_own_witness(tmp_path: Path) -> None:
    store = UniverseStore(tmp_path)
    _, name = store.save(listed(0, perp()))
    path = store.root / name
    whole = path.read_bytes()
    assert unpacked(name, whole) == listed(0, perp())
    assert packed(unpacked(name, whole)) == (name, whole)
    assert json.loads(gzip.decompress(whole))["rows"]["AAAUSDT"]["min_notional"] == "5"
    (store.root / "confirmed.json").write_text('{"schema": 1, "seen_ms": {"a": ["yesterday"]}}')
    with pytest.raises(StateFileError, match="not times by file"):
        store.snapshots()
    (store.root / "confirmed.json").unlink()
    for damaged in (whole[:-9], gzip.compress(gzip.decompress(whole).replace(b'"5"', b'"6"')), b"nothing"):
        path.write_bytes(damaged)
        with pytest.raises(DataProviderError, match=r"perp-20240101T000000Z-[0-9a-f]{12}\.json\.gz: "):
            store.snapshots()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "none of the documents that are known"),
        ({"code": -1121, "msg": "Invalid symbol."}, "none of the documents that are known"),
        ({"symbols": []}, "bears no time"),
        ({"serverTime": 10**15, "symbols": [perp()]}, "bears no time"),
        ({"serverTime": 1, "symbols": [perp(onboard_ms=-1)]}, "onboard_ms=-1: not a time of this world"),
        ({"serverTime": 1, "symbols": [perp(delivery_ms=10**15)]}, "not a time of this world"),
        ({"serverTime": 1, "symbols": []}, "lists nothing"),
        ({"serverTime": 1, "futuresType": "COIN_MARGINED", "symbols": [perp()]}, "only USD-M futures are kept"),
        ({"serverTime": 1, "symbols": ["BTCUSDT"]}, "not a list of entries"),
        ({"serverTime": 1, "symbols": [{"symbol": "BTCUSDT"}]}, "status=None"),
        ({"serverTime": 1, "symbols": [perp(tick="cheap")]}, "tickSize='cheap': not a number"),
        ({"serverTime": 1, "symbols": [perp(tick="1e999999")]}, "not a number of this world"),
        ([{"symbol": "A", "fundingIntervalHours": 8}], "adjustedFundingRateCap is missing"),
        ([{"symbol": "A", "fundingIntervalHours": 0}], "fundingIntervalHours=0: no day is made of such intervals"),
        ([{"symbol": "A", "fundingIntervalHours": "1e30"}], "no day is made"),
        ([{"fundingIntervalHours": 8}], "symbol=None: an entry of nobody"),
        ([{"symbol": "A", "brackets": [{"bracket": 1}]}], "notionalFloor is missing"),
        ([{"symbol": "A", "brackets": "none"}], "not a margin table"),
    ],
)
def test_what_is_no_document_of_the_venue_is_refused_with_what_is_wrong(document: object, why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        of_document(document, "there")


def test_a_file_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(universe_snapshot, "LARGEST_BYTES", 1_000_000)
    with pytest.raises(DataProviderError, match="larger than"):
        read_document(gzip.compress(b" " * 1_000_001), "bomb.json.gz")


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**45), 10**45), st.floats(), st.text(max_size=4),
    st.sampled_from([[], {}, [None], [{}], [{"filterType": "LOT_SIZE", "stepSize": []}], "1e-400", "NaN", "∞"]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(field=st.sampled_from([*perp(), "tickSize", "notional", "multiplierUp"]), value=JUNK)
def test_an_entry_with_anything_at_all_in_one_of_its_fields_is_a_row_or_a_refusal(field: str, value: object) -> None:
    entry = perp()
    for fields in (entry, *entry["filters"]):  # type: ignore[misc]
        if field in fields:
            fields[field] = value
    try:
        found = of_document({"symbols": [entry]}, "anything", at_ms=FIRST_MS)
    except DataProviderError:
        return
    known = Universe([unpacked(*packed(found))]).of(Market.PERP, *found.rows, FIRST_MS)
    assert known.listing is not None


def test_the_date_the_venue_gives_to_all_old_contracts_is_taken_for_no_date() -> None:
    universe = Universe([listed(0, perp(onboard_ms=FILLER_ONBOARD_MS))])
    span = universe.of(Market.PERP, "AAAUSDT", day(0)).listed
    assert span is not None
    assert (span.from_ms, span.to_ms) == (None, day(0))
