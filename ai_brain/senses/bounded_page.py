"""A page of a stranger's site, read within bounds: bytes, time, redirects. What goes beyond is an error, never a part.

A body is counted as it is unpacked, so that a small zip of a huge page ends early; a page that drips ends with its
time; a redirect may not lead from the open network to an address of this machine or its neighbours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from trading.domain.errors import DataProviderError

MOST_REDIRECTS = 4
_PLAIN = ("", "identity")
_PACKED = ("gzip", "x-gzip", "deflate")
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """Unpacked."""


async def read_page(
    http: httpx.AsyncClient, address: str, *, max_bytes: int, within_s: float, headers: Mapping[str, str] | None = None
) -> Page:
    """Fetch a page.

    Args:
        http: A client that follows no redirects itself.
        address: `http://` or `https://`.
        max_bytes: Of the unpacked body.
        within_s: For everything together, real seconds.
        headers: Sent with the request.

    Raises:
        DataProviderError: too large, too slow, packed in an unknown way, or redirected where it may not lead.
        httpx.HTTPError: it could not be had.
        httpx.InvalidURL: not an address.
    """
    try:
        async with asyncio.timeout(within_s):
            return await _follow(http, address, max_bytes, {"Accept-Encoding": "gzip, deflate", **(headers or {})})
    except TimeoutError as error:
        raise DataProviderError(f"slower than {within_s:g} s") from error


def shown(address: str) -> str:
    """An address as it may be told: without what a person may have put into it to get in."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return "an address that is none"
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path}"[:200] if url.host else address[:80]


async def _follow(http: httpx.AsyncClient, address: str, max_bytes: int, headers: Mapping[str, str]) -> Page:
    url = httpx.URL(address)
    is_near = await _is_near(url)
    for hop in range(MOST_REDIRECTS + 1):
        if url.scheme not in ("http", "https") or (url.port is not None and not 0 < url.port < 65_536):
            raise DataProviderError(f"leads to {shown(str(url))}: only http and https are read")
        if hop and not is_near and await _is_near(url):
            raise DataProviderError(f"leads from the open network to {url.host}: not followed")
        async with http.stream("GET", url, headers=headers) as answer:
            if answer.status_code not in REDIRECTS or "location" not in answer.headers:
                body = await _body(answer, max_bytes)
                return Page(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body)
            url = url.join(answer.headers["location"])
    raise DataProviderError(f"redirected more than {MOST_REDIRECTS} times")


async def _body(answer: httpx.Response, max_bytes: int) -> bytes:
    packing = answer.headers.get("content-encoding", "").strip().lower()
    if packing not in (*_PLAIN, *_PACKED):
        raise DataProviderError(f"content-encoding {packing[:40]!r}: cannot be unpacked within bounds")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packing in _PACKED else None
    body = bytearray()
    async for chunk in answer.aiter_raw():
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error as error:
            raise DataProviderError(f"packed as {packing}, and cannot be unpacked: {error}") from error
        if len(body) > max_bytes:
            raise DataProviderError(f"larger than {max_bytes} bytes")
    if unpack is not None and not unpack.eof:
        raise DataProviderError(f"packed as {packing}, and its end is missing")
    return bytes(body)


async def _is_near(url: httpx.URL) -> bool:
    """This machine, or a neighbour of it, by number or by what its name resolves to; a name that does not is not."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, None)
    except (OSError, UnicodeError):
        return False  # it cannot be reached either
    return any(not ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found)
