"""Settings of the on-chain monitor, apart from it: reading `lab.yaml` loads no HTTP library for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$")]
ChartName = Literal[
    "hash-rate",
    "n-transactions",
    "n-unique-addresses",
    "transaction-fees",
    "miners-revenue",
    "estimated-transaction-volume-usd",
]


class OnChainSettings(BaseModel):
    """Bitcoin's own chain: who is asked, and how patiently. Told to the language model, used for nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: no page is asked, and nothing is said of the chain."""
    mempool_url: BaseUrl = "https://mempool.space"
    """Fees, difficulty and height, without a slash at the end."""
    charts_url: BaseUrl = "https://api.blockchain.info"
    """Daily series, without a slash at the end."""
    charts: tuple[ChartName, ...] = ("hash-rate", "n-transactions", "transaction-fees")
    """Names of daily series; a day's value counts only once a whole day has passed after it."""
    blocks_url: BaseUrl | None = "https://blockchain.info"
    """The newest block and its transactions, without a slash at the end; None: large transfers are not looked for."""
    large_transfer_btc: Annotated[float, Field(gt=0, le=100_000)] = 500.0
    """A transaction whose outputs are worth as much counts as large; change given back is in it."""
    gap_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Between two requests to one site, real seconds."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Of each answer, real seconds."""
    max_age_h: Annotated[float, Field(gt=0, le=48)] = 2.0
    """A reading fetched longer ago is not told."""
    max_lag_d: Annotated[float, Field(ge=2, le=30)] = 5.0
    """A daily series whose newest usable day ended longer ago has stopped, and is not told."""
