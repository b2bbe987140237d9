"""Large transfers of a block, as blockchain.info writes it (`/latestblock`, `/rawblock/HASH`). Pure.

What a transaction moves is not known from outside: its outputs hold the change too, and an exchange moving coins
between its own wallets looks like anyone. The count is what it is called: outputs of at least so much.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.domain.errors import DataProviderError
from trading.domain.first_fault import first_fault

MAX_BLOCK_BYTES = 24_000_000
"""Of a block with all its transactions in JSON; usual ones take 3 to 8 million."""
SATOSHI = 1e-8
"""BTC."""


class _Newest(BaseModel):
    model_config = ConfigDict(frozen=True)

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: Annotated[int, Field(gt=0, lt=10**11, strict=True)]


@dataclass(frozen=True, slots=True)
class NewestBlock:
    """Which block is the newest."""

    hash: str
    time_ms: int
    """As its miner stamped it, UTC milliseconds; it may be an hour off."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """What a block moves."""

    transfers: int
    """Transactions, without the miner's own."""
    large: int
    large_btc: float
    """Outputs of the large ones together."""


def read_newest_block(body: bytes) -> NewestBlock:
    """`/latestblock`.

    Raises:
        DataProviderError: not that.
    """
    try:
        found = _Newest.model_validate_json(body)
    except ValidationError as error:
        raise DataProviderError(first_fault(error, whole="answer")) from error
    return NewestBlock(found.hash, found.time * 1000)


def read_transfers(body: bytes, newest: NewestBlock, least_btc: float) -> Transfers:
    """`/rawblock/HASH`: its transactions after the first, which pays the miner.

    Raises:
        DataProviderError: not that block, or outputs that make no sense.
    """
    try:
        block = json.loads(body)
        if block["hash"] != newest.hash:
            raise DataProviderError(f"hash={block['hash']!r:.80}: another block was asked for")
        sums = [sum(_satoshi(out["value"]) for out in transaction["out"]) * SATOSHI for transaction in block["tx"][1:]]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DataProviderError(f"block {newest.hash[:12]}: {type(error).__name__}: {str(error)[:80]}") from error
    large = [amount for amount in sums if amount >= least_btc]
    return Transfers(len(sums), len(large), sum(large))


def _satoshi(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 21_000_000 * 10**8:
        raise ValueError(f"value={value!r:.40}: not an amount of satoshi")
    return value
