"""`farm:` in `lab.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ADDRESS = r"^(tcp|tls)://[^\s/:]+:\d{1,5}$"
"""Of a scheduler; a host name or IPv4 address and a port."""


class FarmSettings(BaseModel):
    """Where many strategies at once are evaluated, see docs/farm.md. Not set: in threads of the lab's own process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: Annotated[str, Field(pattern=ADDRESS)] | None = None
    """Address of a scheduler, `tcp://host:port` or `tls://host:port`. None: on this machine."""
    processes: Annotated[int, Field(ge=0, le=256)] = 0
    """Without a cluster: in so many processes beside the lab's own. 0: in threads."""
    patience_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    """How long a scheduler, or a worker that may work, is waited for, real seconds."""
    tls_ca_file: Path | None = None
    """Of the authority that signed all certificates of the farm; seen from the lab's folder, as the next two."""
    tls_cert_file: Path | None = None
    """This machine's certificate."""
    tls_key_file: Path | None = None
    """Its private key, readable by the lab's user only."""
