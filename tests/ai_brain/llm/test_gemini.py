"""Google's own client against the sandbox's Gemini over a socket: each failure has its name, and none is retried."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import BaseModel, SecretStr, ValidationError

from ai_brain.llm.gemini import Gemini, GeminiSettings
from ai_brain.llm.provider import Answer, Failure, ModelFailed, Prompt
from sandbox.gemini import API_KEY, GeminiDesk
from tests.loopback import SetClock, serving


class Shape(BaseModel):
    ideas: list[str]


PROMPT = Prompt("be brief", "three ideas", Shape, temperature=0.7, max_output_tokens=256)


@pytest.fixture
def script(tmp_path: Path):
    def write(*steps: dict[str, object]) -> GeminiDesk:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(steps))
        return GeminiDesk(SetClock(), path)

    return write


async def ask(desk: object, *, key: str = API_KEY, timeout_s: float = 5.0) -> Answer:
    async with serving(desk) as url:
        settings = GeminiSettings(model="gemini-x", base_url=url, timeout_s=timeout_s)
        async with Gemini(settings, api_key=SecretStr(key)) as model:
            return await model.propose(PROMPT)


async def test_an_answer_comes_with_its_tokens_and_the_model_that_gave_it(script):
    desk = script({"ideas": ["a", "b"]})
    answer = await ask(desk)
    assert json.loads(answer.text) == {"ideas": ["a", "b"]}
    assert answer.tokens_in > 0
    assert answer.model == "gemini-x"
    (asked,) = desk.asked
    assert (asked.system, asked.prompt, asked.temperature, asked.has_schema) == ("be brief", "three ideas", 0.7, True)


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ({"status": 429, "retry_delay_s": 13}, Failure.RATE_LIMITED, "RESOURCE_EXHAUSTED"),
        ({"status": 503}, Failure.UNAVAILABLE, "overloaded"),
        ({"status": 500}, Failure.UNAVAILABLE, "INTERNAL"),
        ({"status": 404}, Failure.INVALID, "no model 'gemini-x' at v1beta"),
        ({"status": 403}, Failure.INVALID, "check GEMINI_API_KEY"),
        ({"finish_reason": "MAX_TOKENS", "text": "x" * 400}, Failure.TRUNCATED, "cut at 50 tokens"),
        ({"finish_reason": "SAFETY"}, Failure.BLOCKED, "SAFETY"),
        ({"finish_reason": "RECITATION"}, Failure.BLOCKED, "RECITATION"),
        ({"blocked": "SAFETY"}, Failure.BLOCKED, "prompt was blocked"),
        ({"text": ""}, Failure.INVALID, "empty answer"),
    ],
)
async def test_each_failure_has_its_name_and_is_not_retried(script, step, kind, words):
    desk = script(step)
    with pytest.raises(ModelFailed, match=words) as failed:
        await ask(desk)
    assert failed.value.kind is kind
    assert len(desk.asked) == 1
    assert failed.value.retry_after_s == step.get("retry_delay_s")


async def test_tokens_of_a_cut_answer_are_counted(script):
    with pytest.raises(ModelFailed) as failed:
        await ask(script({"finish_reason": "MAX_TOKENS", "text": "x" * 400}))
    assert (failed.value.tokens_in > 0, failed.value.tokens_out) == (True, 50)


async def test_a_wrong_key_is_named_but_not_shown(script):
    with pytest.raises(ModelFailed, match="check GEMINI_API_KEY") as failed:
        await ask(script({"text": "{}"}), key="canary-key")
    assert failed.value.kind is Failure.INVALID
    assert "canary-key" not in repr(failed.value)


class Odd:
    """A server that answers a page, or nothing for a while."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/{tail:.*}", self.answer)

    async def answer(self, request: web.Request) -> web.Response:
        if self.silent:
            await asyncio.Event().wait()
        return web.Response(text="<html>proxy error</html>", content_type="text/html")


async def test_a_page_instead_of_an_answer_is_invalid():
    with pytest.raises(ModelFailed) as failed:
        await ask(Odd(silent=False))
    assert failed.value.kind is Failure.INVALID


async def test_an_answer_that_does_not_come_in_time_is_unavailable():
    with pytest.raises(ModelFailed, match=r"no answer within 0\.2 s") as failed:
        await ask(Odd(silent=True), timeout_s=0.2)
    assert failed.value.kind is Failure.UNAVAILABLE


async def test_nobody_listening_is_unavailable():
    async with serving(Odd(silent=False)) as url:
        pass
    async with Gemini(GeminiSettings(base_url=url), api_key=SecretStr("k")) as model:
        with pytest.raises(ModelFailed) as failed:
            await model.propose(PROMPT)
    assert failed.value.kind is Failure.UNAVAILABLE


@pytest.mark.parametrize("bad", [{"model": "a b"}, {"timeout_s": 0}, {"api_version": "beta"}, {"modle": "x"}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValidationError):
        GeminiSettings(**bad)
