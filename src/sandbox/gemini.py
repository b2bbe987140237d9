"""Gemini's `generateContent` on loopback: answers from a script, one step a call, the last step for ever.

A step is an object with one of
    {"ideas": [...]}                          an answer whose text is the JSON {"ideas": [...]}
    {"text": "..."}                           an answer with that text, however malformed
    {"status": 429, "retry_delay_s": 13}      an error in Google's envelope
    {"finish_reason": "MAX_TOKENS", ...}      the first half of `ideas` or `text`; with SAFETY nothing of it
    {"blocked": "SAFETY"}                     the prompt itself refused
`GET /sandbox/gemini` is the witness: every prompt that came in, and which step answered it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from sandbox.desk import SCRIPTS, Now, ScriptError, read_list

API_KEY = "sandbox-gemini-key"
"""The only key that is let in, unless told otherwise."""

STEP_KINDS = ("ideas", "text", "status", "finish_reason", "blocked")
STATUS_WORDS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "The model is not found."),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    500: ("INTERNAL", "An internal error has occurred."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that was let in."""

    at_ms: int
    model: str
    step: int
    """Which entry of the script answered."""
    system: str
    prompt: str
    temperature: float | None
    has_schema: bool


class GeminiDesk:
    """A language model that says what its script says.

    Args:
        clock: Stamps the calls.
        script_path: A JSON list of steps; None: the demo's script.
        api_key: The only key that is let in.

    Raises:
        ScriptError: the script cannot be played.
    """

    def __init__(self, clock: Now, script_path: Path | None = None, *, api_key: str = API_KEY) -> None:
        self.asked: list[Asked] = []
        self._clock = clock
        self._api_key = api_key
        self._steps = read_script(script_path or SCRIPTS / "demo_gemini.json")

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_post("/{version:v1|v1beta}/models/{call}", self._call)
        app.router.add_get("/{version:v1|v1beta}/models/{model}", self._describe)
        app.router.add_get("/sandbox/gemini", self._witness)

    async def _describe(self, request: web.Request) -> web.Response:
        """`models.get`: what a model is; every name is one."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        name = request.match_info["model"]
        methods = ["generateContent"]
        return web.json_response(
            {"name": f"models/{name}", "version": "001", "displayName": name, "supportedGenerationMethods": methods}
        )

    def _refusal(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
        if not key:
            return _error(403, message="Method doesn't allow unregistered callers. Please use API Key.")
        if key != self._api_key:
            return _error(400, message="API key not valid. Please pass a valid API key.")
        return None

    async def _call(self, request: web.Request) -> web.Response:
        model, _, method = request.match_info["call"].partition(":")
        if method != "generateContent":
            return _error(404, message=f"method {method!r} is not found")
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            body = await request.json()
            system, prompt = _text_of(body.get("systemInstruction")), "".join(_text_of(c) for c in body["contents"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(400, message="contents is not specified")
        number = min(len(self.asked), len(self._steps) - 1)
        settings = body.get("generationConfig") or {}
        has_schema = "responseSchema" in settings or "responseJsonSchema" in settings
        self.asked.append(
            Asked(self._clock.now_ms(), model, number, system, prompt, settings.get("temperature"), has_schema)
        )
        return _play(self._steps[number], model=model, prompt_tokens=(len(system) + len(prompt)) // 4 + 1)

    async def _witness(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(asked) for asked in self.asked])


def read_script(path: Path) -> list[dict[str, object]]:
    """The steps of a script file.

    Raises:
        ScriptError: unreadable, or a step that says nothing known.
    """
    steps = read_list(path)
    for number, step in enumerate(steps):
        if not any(kind in step for kind in STEP_KINDS):
            raise ScriptError(f"{path}: step {number} has {sorted(step)}; it needs one of {', '.join(STEP_KINDS)}")
        if "ideas" in step and not isinstance(step["ideas"], list):
            raise ScriptError(f"{path}: step {number}: ideas={step['ideas']!r}: give a list")
        if "status" in step and step["status"] not in STATUS_WORDS:
            known = ", ".join(map(str, STATUS_WORDS))
            raise ScriptError(f"{path}: step {number}: status={step['status']!r}: use one of {known}")
    return steps


def _play(step: dict[str, object], *, model: str, prompt_tokens: int) -> web.Response:
    status = step.get("status")
    if isinstance(status, int):
        delay = step.get("retry_delay_s")
        return _error(status, retry_delay_s=delay if isinstance(delay, int | float) else None)
    envelope: dict[str, object] = {"modelVersion": model, "responseId": "sandbox"}
    if "blocked" in step:
        usage = {"promptTokenCount": prompt_tokens, "totalTokenCount": prompt_tokens}
        feedback = {"blockReason": str(step["blocked"])}
        return web.json_response(envelope | {"promptFeedback": feedback, "usageMetadata": usage})
    text = json.dumps({"ideas": step["ideas"]}) if "ideas" in step else str(step.get("text", ""))
    finish = str(step.get("finish_reason", "STOP"))
    if finish == "MAX_TOKENS":
        text = text[: len(text) // 2]
    if finish not in {"STOP", "MAX_TOKENS"}:
        text = ""
    content = {"role": "model", "parts": [{"text": text}]} if text else {}
    output_tokens = len(text) // 4
    usage = {
        "promptTokenCount": prompt_tokens,
        "candidatesTokenCount": output_tokens,
        "thoughtsTokenCount": 0,
        "totalTokenCount": prompt_tokens + output_tokens,
    }
    candidate = {"content": content, "finishReason": finish, "index": 0}
    return web.json_response(envelope | {"candidates": [candidate], "usageMetadata": usage})


def _error(code: int, *, message: str | None = None, retry_delay_s: float | None = None) -> web.Response:
    status, words = STATUS_WORDS[code]
    details: list[dict[str, object]] = []
    headers: dict[str, str] = {}
    if retry_delay_s is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_delay_s:g}s"})
        headers["Retry-After"] = f"{retry_delay_s:g}"
    error: dict[str, object] = {"code": code, "message": message or words, "status": status}
    if details:
        error["details"] = details
    return web.json_response({"error": error}, status=code, headers=headers)


def _text_of(content: object) -> str:
    if not isinstance(content, dict):
        return ""
    return "".join(str(part.get("text", "")) for part in content.get("parts", []))
