"""The sandbox's Gemini plays its script in Google's envelope."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sandbox.desk import SCRIPTS, ScriptError
from sandbox.gemini import API_KEY, GeminiDesk, read_script
from tests.conftest import DATA, needs_data
from tests.loopback import SetClock, serving

STEPS = [
    {"ideas": [{"name": "x"}]},
    {"text": "not json"},
    {"status": 429, "retry_delay_s": 13},
    {"blocked": "SAFETY"},
    {"finish_reason": "MAX_TOKENS", "text": "0123456789"},
    {"finish_reason": "SAFETY"},
]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(STEPS))
    return path


@pytest.fixture
async def http(script: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(GeminiDesk(SetClock(5), script)) as url, aiohttp.ClientSession(url) as session:
        yield session


async def ask(http: aiohttp.ClientSession, *, key: str = API_KEY, version: str = "v1beta", body: object = None):
    told = body or {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "generationConfig": {"temperature": 0.5, "responseSchema": {"property_ordering": ["a"]}},
    }
    headers = {"x-goog-api-key": key} if key else {}
    async with http.post(f"/{version}/models/m-1:generateContent", json=told, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_each_call_takes_one_step_and_the_last_step_lasts(http):
    answers = [await ask(http) for _ in range(7)]
    assert [status for status, _, _ in answers] == [200, 200, 429, 200, 200, 200, 200]
    first = answers[0][1]
    assert json.loads(first["candidates"][0]["content"]["parts"][0]["text"]) == {"ideas": [{"name": "x"}]}
    assert first["modelVersion"] == "m-1"
    assert first["usageMetadata"]["promptTokenCount"] > 0
    assert answers[2][1]["error"]["details"][0]["retryDelay"] == "13s"
    assert answers[2][2]["Retry-After"] == "13"
    assert answers[3][1]["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidates" not in answers[3][1]
    assert answers[4][1]["candidates"][0]["content"]["parts"][0]["text"] == "01234"
    assert answers[5][1]["candidates"][0]["finishReason"] == "SAFETY"
    assert answers[6][1] == answers[5][1]


async def test_the_witness_shows_what_was_asked(http):
    await ask(http, version="v1")
    async with http.get("/sandbox/gemini") as answer:
        (asked,) = await answer.json()
    assert asked == {
        "at_ms": 5,
        "model": "m-1",
        "step": 0,
        "system": "be brief",
        "prompt": "hello",
        "temperature": 0.5,
        "has_schema": True,
    }


async def test_a_wrong_key_or_body_uses_up_no_step(http):
    assert (await ask(http, key=""))[0] == 403
    status, body, _ = await ask(http, key="wrong")
    assert (status, body["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert (await ask(http, body={"no": "contents"}))[0] == 400
    async with http.post("/v1/models/m-1:countTokens", headers={"x-goog-api-key": API_KEY}) as answer:
        assert answer.status == 404
    assert (await ask(http))[0] == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ("[1]", "entry 0 is 1"),
        ('[{"answer": 1}]', "needs one of ideas, text, status"),
        ('[{"ideas": 3}]', "give a list"),
        ('[{"status": 200}]', "use one of 400"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "script.json"
    path.write_text(content)
    with pytest.raises(ScriptError, match=words) as refused:
        read_script(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_demo_script_holds_good_bad_and_malformed_answers():
    steps = read_script(SCRIPTS / "demo_gemini.json")
    assert sum("ideas" in step and "finish_reason" not in step for step in steps) >= 3
    assert any("text" in step for step in steps)
    assert steps[-1]["status"] == 429


@needs_data
async def test_the_envelope_has_the_keys_of_a_recorded_answer(http):
    (recorded,) = json.loads((DATA / "payloads" / "gemini" / "model.json").read_text())
    _, body, _ = await ask(http)
    assert body.keys() == recorded["response"]["body"].keys()
    assert body["candidates"][0].keys() == recorded["response"]["body"]["candidates"][0].keys()
