"""From where on something is done about what can break a hedge; in `lab.yaml` under `hedge:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Percent = Annotated[float, Field(gt=0, le=100)]


class HedgeSettings(BaseModel):
    """What breaks a hedge, and from where on something is done, see docs/live-carry.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adl_told_quantile: Annotated[int, Field(ge=1, le=5)] = 3
    """A human is told when the short is so near the front of the queue of auto-deleveraging, 0 to 4; 5: never."""
    adl_leave_quantile: Annotated[int, Field(ge=1, le=5)] = 5
    """And here it is left. 5, never: what is deleveraged is closed at a fair price, and the spot sold in seconds."""
    liquidation_told_pct: Percent = 30.0
    """A human is told when the liquidation price is nearer; it is left at `carry.min_liquidation_pct`."""
    liquidation_flat_pct: Percent = 10.0
    """And here everything is closed at once, whatever the price."""
    delivery_leave_days: Annotated[float, Field(gt=0, le=365)] = 14.0
    """A leg that is to end is left so long before; nothing is opened as soon as it is known."""
    delivery_flat_h: Annotated[float, Field(gt=0, le=168)] = 1.0
    """And here everything is closed at once."""
    terms_quiet_h: Annotated[float, Field(ge=0, le=720)] = 24.0
    """Nothing is opened so long after a contract's funding interval, cap or floor was changed."""
    depeg_entry_pct: Percent = 0.5
    """Nothing is opened while the quote coin is further from its dollar by any source."""
    depeg_leave_pct: Percent = 5.0
    """And what is held is left when two sources say so."""
    second_source: Literal["kraken", "none"] = "kraken"
    """Who else is asked what the quote coin is worth. none: only the exchange's own book of another dollar coin."""
    slow_s: Seconds = 300.0
    """Between two looks at statuses, terms and the dollar, lab seconds; what is held is looked at every cycle."""
    silent_told_s: Seconds = 900.0
    """A human is told of what could not be read for so long, lab seconds."""
    silent_s: Seconds = 1800.0
    """And nothing is opened from here on."""
