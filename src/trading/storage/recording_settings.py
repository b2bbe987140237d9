"""The `recording` section of `lab.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RecordingSettings(BaseModel):
    """Raw record of everything public that the exchange sends; see docs/live-data.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: nothing is recorded."""
    max_gb: Annotated[float, Field(gt=0.01, le=10_000)] = 2.0
    """Of all files together, gigabytes; the oldest are removed."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Older files are removed, days."""

    @property
    def max_bytes(self) -> int:
        """Of all files together."""
        return int(self.max_gb * 1e9)
