"""Files on object storage by URL: `s3://bucket/prefix`, `gs://…`, `az://…`. The only file that knows `obstore`.

Credentials, region and endpoint come from the environment as the providers' own tools take them (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, …); they are never in a URL, a message or a log.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from trading.domain.errors import DataProviderError, NetworkDownError, SettingsError

SCHEMES = ("s3://", "gs://", "az://")
TRIES = 4
TIMEOUT_S = 60


class ChangedBehindError(DataProviderError):
    """Somebody else changed the object since it was read: read it again."""


@dataclass(frozen=True, slots=True)
class Held:
    """An object as it was read."""

    content: bytes
    version: dict[str, str]
    """Names this very version to `put`."""


class Bucket:
    """Objects below a URL.

    Args:
        url: `s3://bucket/prefix`.

    Raises:
        SettingsError: not such a URL, or the extra `objects` is not installed.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(SCHEMES) or any(sign in url for sign in "@?#"):
            # not repeated: who writes keys into an address would read them in a log
            raise SettingsError(
                "address of object storage: write it like s3://bucket/prefix, without keys; they are read from the "
                "environment"
            )
        try:
            self._library: Any = importlib.import_module("obstore")
        except ImportError as error:
            raise SettingsError(f"{url}: object storage needs the extra `objects`: pip install '.[objects]'") from error
        self._errors: Any = importlib.import_module("obstore.exceptions")
        self.url = url.rstrip("/")
        retries = {"max_retries": TRIES, "retry_timeout": timedelta(seconds=TIMEOUT_S)}
        try:
            from_url = importlib.import_module("obstore.store").from_url
            self._store = from_url(self.url, retry_config=retries)
        except self._errors.BaseError as error:
            raise SettingsError(f"{self.url}: {_line(error)}; check the address and the environment") from error

    def get(self, name: str) -> Held | None:
        """An object; None: there is none.

        Raises:
            NetworkDownError: the storage does not answer, or refuses.
        """
        try:
            found = self._library.get(self._store, name)
            version = {name: found.meta.get(name) for name in ("e_tag", "version")}
            return Held(bytes(found.bytes()), {name: value for name, value in version.items() if value is not None})
        except (FileNotFoundError, self._errors.NotFoundError):
            return None
        except self._errors.BaseError as error:
            raise self._down(name, error) from error

    def put(self, name: str, content: bytes, *, over: Held | None, always: bool = False) -> None:
        """Write an object whole, or not at all.

        Args:
            name: Below the URL.
            content: Of the object.
            over: The version it replaces; None: there must be none.
            always: Replace whatever is there; for objects named by their content.

        Raises:
            ChangedBehindError: another version is there.
            NetworkDownError: the storage does not answer, or refuses.
        """
        mode: Any = "overwrite" if always else "create" if over is None else over.version
        try:
            self._library.put(self._store, name, content, mode=mode, use_multipart=False)
        except (self._errors.AlreadyExistsError, self._errors.PreconditionError) as error:
            raise ChangedBehindError(f"{self.url}/{name}: changed by another machine meanwhile; try again") from error
        except (FileNotFoundError, self._errors.NotFoundError) as error:
            raise ChangedBehindError(f"{self.url}/{name}: removed by another machine meanwhile; try again") from error
        except self._errors.BaseError as error:
            raise self._down(name, error) from error

    def delete(self, name: str) -> None:
        """Remove an object; none is fine.

        Raises:
            NetworkDownError: the storage does not answer, or refuses.
        """
        try:
            self._library.delete(self._store, name)
        except (FileNotFoundError, self._errors.NotFoundError):
            return
        except self._errors.BaseError as error:
            raise self._down(name, error) from error

    def names(self) -> list[str]:
        """Names of all objects, sorted.

        Raises:
            NetworkDownError: the storage does not answer, or refuses.
        """
        try:
            found = self._library.list(self._store).collect()
        except self._errors.BaseError as error:
            raise self._down("", error) from error
        return sorted(str(one["path"]) for one in found)

    def _down(self, name: str, error: Exception) -> NetworkDownError:
        return NetworkDownError(f"{self.url}/{name}: {_line(error)}; check address, credentials and network")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
