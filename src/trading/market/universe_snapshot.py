"""What the venue lists at one moment, read from its own documents and kept as one file.

Four kinds of document are known: `exchangeInfo` of spot and of USD-M futures, the margin tables (`leverageBracket`, or
ccxt's unified tiers with the venue's steps inside) and `fundingInfo`. A snapshot is *complete* when what it does not
list was not listed then; a copy that was cut down is not, and proves nothing by its silence.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.domain.clock import as_datetime, iso
from trading.domain.errors import DataProviderError
from trading.domain.first_fault import first_fault
from trading.domain.instrument import Market
from trading.market.listing import LATEST_MS, bracket_row, row_of, terms_row

SCHEMA = 1
LARGEST_BYTES = 64 * 1024 * 1024
"""Of a document, unpacked; spot's is 2.5 MB."""
_ROWS = b',"rows":{\n'
USD_MARGINED = "U_MARGINED"
_GZIP = b"\x1f\x8b"


class Kind(StrEnum):
    """Which of the venue's documents."""

    SPOT = "spot"
    PERP = "perp"
    BRACKETS = "brackets"
    FUNDING = "funding"


LISTING_OF = {Market.SPOT: Kind.SPOT, Market.PERP: Kind.PERP}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One document, cut down to what is used."""

    kind: Kind
    taken_ms: int
    """The venue's time of it."""
    is_complete: bool
    """What it does not list was not listed."""
    source: str
    """Where it came from: a file's name, or the venue."""
    rows: Mapping[str, object] = field(repr=False)
    """By symbol; see `listing.py`."""
    confirmed_ms: int = 0
    """The latest time at which the same was seen again; `taken_ms` where it was not."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "confirmed_ms", max(self.confirmed_ms, self.taken_ms))

    @property
    def content_hash(self) -> str:
        """SHA-256, hex, over the rows and whether they are all."""
        return hashlib.sha256(_text([self.is_complete, self.rows])).hexdigest()

    def __str__(self) -> str:
        return f"{self.kind} snapshot of {iso(self.taken_ms)} ({self.source})"


class _File(BaseModel):
    """A snapshot as its file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(alias="schema")
    kind: Kind
    taken_ms: int
    is_complete: bool
    source: str
    rows: dict[str, object]


def packed(snapshot: Snapshot) -> tuple[str, bytes]:
    """A snapshot as a file: its name, which ends in the beginning of its content's SHA-256, and its bytes.

    The content is one JSON object with a line for each symbol, so that one symbol can be read without all others.
    """
    told = {"schema": SCHEMA, "kind": snapshot.kind, "taken_ms": snapshot.taken_ms}
    head = _text({**told, "is_complete": snapshot.is_complete, "source": snapshot.source})
    rows = [_text(symbol) + b":" + _text(row) for symbol, row in sorted(snapshot.rows.items())]
    content = head[:-1] + _ROWS + b",\n".join(rows) + b"\n}}"
    stamp = as_datetime(snapshot.taken_ms).strftime("%Y%m%dT%H%M%SZ")
    name = f"{snapshot.kind}-{stamp}-{hashlib.sha256(content).hexdigest()[:12]}.json.gz"
    return name, gzip.compress(content, compresslevel=9, mtime=0)


def unpacked(name: str, raw: bytes, *, symbol: str | None = None) -> Snapshot:
    """A file that `packed` made.

    Args:
        name: Its name.
        raw: Its bytes.
        symbol: Read the row of this one alone; None: every row.

    Raises:
        DataProviderError: damaged: it does not match the hash in its name, or is no snapshot.
    """
    content = _unzipped(raw, name)
    if hashlib.sha256(content).hexdigest()[:12] != name.removesuffix(".json.gz").rpartition("-")[2]:
        raise DataProviderError(f"{name}: does not match the hash in its name; restore it from a backup")
    if symbol is not None:
        content = _of_one(content, symbol)
    try:
        told = _File.model_validate(_json(content, name))
    except ValidationError as error:
        raise DataProviderError(f"{name}: {first_fault(error)}; written by another version of the lab") from error
    return Snapshot(told.kind, told.taken_ms, told.is_complete, told.source, told.rows)


def _of_one(content: bytes, symbol: str) -> bytes:
    """The content with the line of one symbol alone. JSON has no line break inside a text, so a line is a row."""
    head, _, rows = content.partition(_ROWS)
    begin = (b"\n" + rows).find(b"\n" + _text(symbol) + b":")
    row = rows[begin:].partition(b"\n")[0].removesuffix(b",") if begin >= 0 else b""
    return head + _ROWS + row + b"\n}}"


def read_document(raw: bytes, source: str, *, at_ms: int | None = None, is_complete: bool = True) -> Snapshot:
    """A document of the venue as it was saved, gzipped or not.

    Args:
        raw: Its bytes.
        source: Where it came from, for whoever asks later.
        at_ms: When it was taken; None: as its `serverTime` says.
        is_complete: False: a copy that was cut down.

    Raises:
        DataProviderError: not one of the known documents, an entry that cannot be read, or no time in it or given.
    """
    return of_document(_json(_unzipped(raw, source), source), source, at_ms=at_ms, is_complete=is_complete)


def of_document(document: object, source: str, *, at_ms: int | None = None, is_complete: bool = True) -> Snapshot:
    """A document of the venue as it was answered; see `read_document`."""
    kind, rows = _rows(document, source)
    told_ms = document.get("serverTime") if isinstance(document, dict) else None
    taken_ms = told_ms if at_ms is None else at_ms
    if not isinstance(taken_ms, int) or not 0 < taken_ms < LATEST_MS:
        raise DataProviderError(f"{source}: the document bears no time; say with --at when it was taken")
    if not rows:
        raise DataProviderError(f"{source}: lists nothing; that is no snapshot of a venue")
    return Snapshot(kind, taken_ms, is_complete, source, rows)


def told_again(snapshot: Snapshot, at_ms: int) -> Snapshot:
    """The same, seen again at a time."""
    return replace(snapshot, confirmed_ms=max(snapshot.confirmed_ms, at_ms))


def _rows(document: object, source: str) -> tuple[Kind, dict[str, object]]:
    """Which document it is, and its rows by symbol."""
    if isinstance(document, dict) and "symbols" in document:
        if document.get("futuresType", USD_MARGINED) != USD_MARGINED:
            raise DataProviderError(f"{source}: futuresType={document['futuresType']!r}: only USD-M futures are kept")
        return _listing_rows(document["symbols"], source, is_futures="futuresType" in document)
    if isinstance(document, dict):
        tiers = [entry for entry in map(_of_ccxt, document.values()) if entry is not None]
        if len(tiers) == len(document):
            return Kind.BRACKETS, {symbol: bracket_row(entry, f"{source} {symbol}") for symbol, entry in tiers}
    entries = [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []
    if entries and isinstance(document, list) and len(entries) == len(document):
        first = entries[0]
        if "brackets" in first:
            return Kind.BRACKETS, {_symbol(one, source): bracket_row(one, source) for one in entries}
        if "fundingIntervalHours" in first:
            return Kind.FUNDING, {_symbol(one, source): terms_row(one, source) for one in entries}
        if "filters" in first:
            return _listing_rows(entries, source, is_futures=False)
    raise DataProviderError(
        f"{source}: none of the documents that are known: exchangeInfo, leverageBracket or fundingInfo as the venue "
        "answered it"
    )


def _symbol(entry: Mapping[str, object], source: str) -> str:
    symbol = entry.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise DataProviderError(f"{source}: symbol={symbol!r}: an entry of nobody; save the answer as it came")
    return symbol


def _listing_rows(entries: object, source: str, *, is_futures: bool) -> tuple[Kind, dict[str, object]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataProviderError(f"{source}: symbols is not a list of entries; save the whole answer")
    is_perp = is_futures or any("contractType" in entry for entry in entries)
    return (Kind.PERP if is_perp else Kind.SPOT), dict(row_of(entry, source) for entry in entries)


def _of_ccxt(tiers: object) -> tuple[str, dict[str, object]] | None:
    """ccxt's tiers of one symbol as the venue's own entry; None: something else."""
    if not isinstance(tiers, list) or not tiers or not all(isinstance(tier, dict) for tier in tiers):
        return None
    name, steps = str(tiers[0].get("symbol", "")), [tier.get("info") for tier in tiers]
    base, _, rest = name.partition("/")
    if not rest or not all(isinstance(step, dict) for step in steps):
        return None
    return base + rest.partition(":")[0], {"brackets": steps}


def _unzipped(raw: bytes, where: str) -> bytes:
    if not raw.startswith(_GZIP):
        return raw
    unzip = zlib.decompressobj(wbits=31)
    try:
        content = unzip.decompress(raw, LARGEST_BYTES)
    except zlib.error as error:
        raise DataProviderError(f"{where}: a damaged gzip file ({error}); get it again") from error
    if not unzip.eof:
        raise DataProviderError(f"{where}: cut off, or larger than {LARGEST_BYTES} bytes unpacked; get it again")
    return content


def _json(content: bytes, where: str) -> object:
    try:
        document: object = json.loads(content)
    except ValueError as error:
        raise DataProviderError(f"{where}: not JSON ({error}); save the answer as it came") from error
    return document


def _text(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
