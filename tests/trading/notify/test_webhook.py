"""What a webhook gets can be verified by its receiver, and each answer says what becomes of the message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from pydantic import SecretStr

from tests.loopback import serving
from trading.domain.clock import Clock
from trading.domain.errors import NotifierError
from trading.domain.events import Severity
from trading.notify.message import Message
from trading.notify.webhook import SIGNATURE, Webhook

SECRET = "a shared secret"  # of a test
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


@dataclass
class Receiver:
    """Takes what is posted, checks who signed it, and answers as told."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[dict[str, object]] = field(default_factory=list)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/hook/secret-path", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        stamp, given = (part.partition("=")[2] for part in request.headers[SIGNATURE].split(","))
        expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(given, expected)
        assert abs(int(stamp) - Clock().system_ms() / 1000) < 5
        self.got.append(json.loads(body))
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        return web.Response(status=status, headers=headers)


async def post(receiver: Receiver, message: Message, *, secret: str = SECRET) -> None:
    async with (
        serving(receiver) as url,
        Webhook(SecretStr(f"{url}/hook/secret-path"), SecretStr(secret), Clock(), timeout_s=2.0) as hook,
    ):
        await hook.send(message)


async def test_a_message_arrives_signed_with_its_id_and_pictures() -> None:
    receiver = Receiver()
    await post(
        receiver, Message("alert", "🚨 <b>stop</b>\nid m-7", photos=(PNG,), severity=Severity.ALERT, is_html=True)
    )
    assert receiver.got == [
        {
            "id": "m-7",
            "kind": "alert",
            "severity": "alert",
            "text": "🚨 stop\nid m-7",
            "photos": [base64.b64encode(PNG).decode()],
        }
    ]


async def test_another_secret_makes_another_signature() -> None:
    with pytest.raises(NotifierError, match="answered 500"):
        await post(Receiver(), Message("report", "x"), secret="another")  # the receiver's check raises


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "wait_s", "said"),
    [
        (429, {"Retry-After": "7"}, False, 7.0, "answered 429"),
        (503, {}, False, None, "answered 503"),
        (503, {"Retry-After": "Wed, 21 Jan 2026 09:00:00 GMT"}, False, None, "answered 503"),
        (408, {}, False, None, "answered 408"),
        (401, {}, False, None, "look at WEBHOOK_URL and WEBHOOK_SECRET"),
        (404, {}, False, None, "look at WEBHOOK_URL"),
        (302, {"Location": "http://127.0.0.1:1/"}, False, None, "look at WEBHOOK_URL"),
        (400, {}, True, None, "will not take this message"),
    ],
)
async def test_each_answer_says_what_becomes_of_the_message(
    status: int, headers: dict[str, str], permanent: bool, wait_s: float | None, said: str
) -> None:
    with pytest.raises(NotifierError, match=said) as refusal:
        await post(Receiver([(status, headers)]), Message("report", "x"))
    assert (refusal.value.permanent, refusal.value.retry_after_s) == (permanent, wait_s)
    assert "secret-path" not in str(refusal.value)


async def test_pictures_that_are_too_large_do_not_take_the_text_with_them() -> None:
    receiver = Receiver([(413, {})])
    await post(receiver, Message("summary", "the week", photos=(PNG,)))
    assert [len(got["photos"]) for got in receiver.got] == [1, 0]  # type: ignore[arg-type]  # lists


async def test_an_address_that_does_not_answer_is_tried_again_and_never_told() -> None:
    async with Webhook(SecretStr("http://127.0.0.1:1/secret-path"), SecretStr("s"), Clock(), timeout_s=1.0) as hook:
        with pytest.raises(NotifierError, match="cannot be reached") as refusal:
            await hook.send(Message("report", "x"))
    assert (refusal.value.permanent, "secret-path" in str(refusal.value)) == (False, False)
    assert refusal.value.__cause__ is None
