"""The same messages as JSON by POST, signed: whoever gets them can tell that they are the lab's, and when they left.

Body: `id, kind, severity, text, photos` (base64 PNG). Header `X-Lab-Signature: t=SECONDS,v1=HEX`, where HEX is the
HMAC-SHA256 of `SECONDS.BODY` under the shared secret. An answer of 2xx means delivered; a redirect is not followed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from types import TracebackType

import httpx
import structlog
from pydantic import SecretStr

from trading.domain.clock import Clock
from trading.domain.errors import NotifierError
from trading.notify.message import Message

log = structlog.get_logger(__name__)

SIGNATURE = "X-Lab-Signature"
TOO_LARGE = 413
TOO_MANY = 429
NOT_THE_MESSAGE = frozenset({401, 402, 403, 404, 405, 407, 410})
"""The address or the secret is wrong: a human changes a setting, the message is kept."""
AGAIN = frozenset({408, 425, TOO_MANY})
UNANSWERED = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError)
"""The request had left."""
_ID = re.compile(r"\nid (m-\d+)$")


class Webhook:
    """One address that takes messages. Open it with `async with`.

    Args:
        url: Where to; it may hold a secret and is told nowhere.
        secret: What the signature is made with.
        clock: Stamps the signature with the system's time.
        timeout_s: For connecting, and for an answer.
    """

    def __init__(self, url: SecretStr, secret: SecretStr, clock: Clock, *, timeout_s: float = 10.0) -> None:
        self._url, self._secret, self._clock = url, secret, clock
        self._http = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)

    async def __aenter__(self) -> Webhook:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(self, message: Message) -> None:
        """Deliver one message; pictures that are too large for the other side are left out.

        Raises:
            NotifierError: not delivered; `retry_after_s` when the other side said so, `permanent` if it never will be.
        """
        answer = await self._post(message, message.photos)
        if answer.status_code == TOO_LARGE and message.photos:
            log.warning("notify.photo_refused", kind=message.kind, reason="the webhook says it is too large")
            answer = await self._post(message, ())
        if not answer.is_success:
            raise _refused(message.kind, answer)
        log.info("notify.sent", channel="webhook", kind=message.kind, severity=message.severity.value)

    async def _post(self, message: Message, photos: tuple[bytes, ...]) -> httpx.Response:
        body = payload(message, photos)
        headers = {"Content-Type": "application/json", SIGNATURE: self._signature(body)}
        try:
            return await self._http.post(self._url.get_secret_value(), content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # `from None`, and not its text: both may hold the address.
            how = f"cannot be reached ({type(error).__name__})"
            if isinstance(error, httpx.TimeoutException):
                how = "no answer in time"
            text, has_left = f"webhook: {message.kind}: {how}", isinstance(error, UNANSWERED)
            raise NotifierError(text, may_have_arrived=has_left) from None

    def _signature(self, body: bytes) -> str:
        return signature(body, self._secret, self._clock.system_ms() // 1000)


def payload(message: Message, photos: tuple[bytes, ...]) -> bytes:
    """The body of a message."""
    found = _ID.search(message.text)
    return json.dumps(
        {
            "id": found[1] if found else None,
            "kind": message.kind,
            "severity": message.severity.value,
            "text": message.plain_text,
            "photos": [base64.b64encode(photo).decode() for photo in photos],
        },
        ensure_ascii=False,
    ).encode()


def signature(body: bytes, secret: SecretStr, at_s: int) -> str:
    """The header's value for a body that leaves at a second."""
    signed = f"{at_s}.".encode() + body
    digest = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def _refused(what: str, answer: httpx.Response) -> NotifierError:
    status = answer.status_code
    text = f"webhook: {what}: answered {status}"
    if answer.is_redirect or status in NOT_THE_MESSAGE:
        return NotifierError(f"{text}; look at WEBHOOK_URL and WEBHOOK_SECRET in .env")
    if status in AGAIN or answer.is_server_error:
        wait = answer.headers.get("Retry-After", "")
        return NotifierError(text, retry_after_s=float(wait) if wait.isdecimal() else None)
    return NotifierError(f"{text}; it will not take this message", permanent=True)
