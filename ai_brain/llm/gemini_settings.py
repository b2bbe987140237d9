"""Settings of the Gemini provider, apart from it: reading `lab.yaml` must not wait a second for Google's client."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class GeminiSettings(BaseModel):
    """Which model, where, and how long to wait."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.\-]*$")] = "gemini-flash-latest"
    """Google's name of it; the `-latest` names exist on `v1beta` only."""
    api_version: Annotated[str, Field(pattern=r"^v1[a-z0-9]*$")] = "v1beta"
    """Of Google's interface."""
    base_url: str | None = None
    """Another server speaking the same protocol, such as the sandbox; None: Google's."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    """For the whole answer, real seconds; ideas are long answers."""
