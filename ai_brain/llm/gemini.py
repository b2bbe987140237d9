"""Google's Gemini through its own client. The only file that knows the library.

The client is given an `httpx` client of ours: left alone it takes aiohttp whenever that is installed, whose errors are
other ones. Its retries are off by default and stay off; it knows no `retry_after`.
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType

import httpx
from google import genai
from google.genai import errors, types
from pydantic import SecretStr

from ai_brain.llm.gemini_settings import GeminiSettings
from ai_brain.llm.provider import Answer, Failure, ModelFailed, Prompt

__all__ = ["Gemini", "GeminiSettings"]

CONNECT_S = 5.0
CUT_SHORT = types.FinishReason.MAX_TOKENS
WHOLE = types.FinishReason.STOP


class Gemini:
    """One model of Google's. Open it with `async with`.

    Args:
        settings: Which one and where.
        api_key: Sent in a header, never in a URL.
    """

    def __init__(self, settings: GeminiSettings, *, api_key: SecretStr) -> None:
        self._settings = settings
        self._api_key = api_key
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(settings.timeout_s, connect=CONNECT_S))
        options = types.HttpOptions(
            base_url=settings.base_url, api_version=settings.api_version, httpx_async_client=self._http
        )
        self._client = genai.Client(api_key=api_key.get_secret_value(), http_options=options)

    async def __aenter__(self) -> Gemini:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def check(self) -> str:
        """The model's own name: key and name are taken, and Google answers. Costs nothing.

        Raises:
            ModelFailed: one of them is not so.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                model = await self._client.aio.models.get(model=self._settings.model)
        except errors.APIError as error:
            raise self._refused(error) from None
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            reason = f"gemini: no answer within {self._settings.timeout_s:g} s: {type(error).__name__}"
            raise ModelFailed(reason, kind=Failure.UNAVAILABLE) from error
        return str(model.name or self._settings.model).removeprefix("models/")

    async def propose(self, prompt: Prompt) -> Answer:
        """Ask once; see `LanguageModel.propose`."""
        config = types.GenerateContentConfig(
            system_instruction=prompt.system,
            temperature=prompt.temperature,
            max_output_tokens=prompt.max_output_tokens,
            response_mime_type="application/json",
            response_schema=prompt.schema,
        )
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await self._client.aio.models.generate_content(
                    model=self._settings.model, contents=prompt.user, config=config
                )
        except errors.APIError as error:
            raise self._refused(error) from None
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            reason = f"gemini: no answer within {self._settings.timeout_s:g} s: {type(error).__name__}"
            is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise ModelFailed(reason, kind=Failure.UNAVAILABLE, is_cost_known=not is_sent) from error
        except ValueError as error:
            raise ModelFailed(f"gemini: the answer is not JSON: {error}", kind=Failure.INVALID) from error
        return _whole(reply, asked=self._settings.model)

    def _refused(self, error: errors.APIError) -> ModelFailed:
        """Google's error as ours; the code counts, and what the table does not know is invalid, never temporary."""
        code = int(error.code or 0)
        words = str(error.message or error.status or "")[:300].replace(self._api_key.get_secret_value(), "***")
        said = f"gemini: {code} {error.status}: {words}"
        if code == 429:
            return ModelFailed(said, kind=Failure.RATE_LIMITED, retry_after_s=_retry_after_s(error))
        if code == 408 or code >= 500:
            return ModelFailed(said, kind=Failure.UNAVAILABLE)
        if code == 404:
            remedy = f"no model {self._settings.model!r} at {self._settings.api_version}; set another name"
            return ModelFailed(f"{said}; {remedy}", kind=Failure.INVALID)
        if code in {401, 403} or "API key" in words:
            return ModelFailed(f"{said}; check GEMINI_API_KEY", kind=Failure.INVALID)
        return ModelFailed(said, kind=Failure.INVALID)


def _whole(reply: types.GenerateContentResponse, *, asked: str) -> Answer:
    """The answer, if it is one. The client raises nothing for a cut, blocked or empty answer: it must be looked at."""
    usage = reply.usage_metadata
    tokens_in = (usage.prompt_token_count or 0) if usage else 0
    tokens_out = ((usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)) if usage else 0

    def failed(reason: str, kind: Failure) -> ModelFailed:
        return ModelFailed(f"gemini: {reason}", kind=kind, tokens_in=tokens_in, tokens_out=tokens_out)

    if not reply.candidates:
        feedback = reply.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise failed(f"the prompt was blocked: {feedback.block_reason.value}", Failure.BLOCKED)
        raise failed("an answer without candidates", Failure.INVALID)
    finish = reply.candidates[0].finish_reason
    if finish is CUT_SHORT:
        raise failed(f"the answer was cut at {tokens_out} tokens; ask for less or allow more", Failure.TRUNCATED)
    if finish is not None and finish is not WHOLE:
        raise failed(f"the answer was held back: {finish.value}", Failure.BLOCKED)
    if not reply.text:
        raise failed("an empty answer", Failure.INVALID)
    return Answer(reply.text, tokens_in, tokens_out, model=reply.model_version or asked)


def _retry_after_s(error: errors.APIError) -> float | None:
    """Seconds to wait, from Google's RetryInfo, else from the header."""
    match = re.search(r"'retryDelay':\s*'([0-9.]+)s'", str(error.details))
    if match:
        return float(match.group(1))
    header = error.response.headers.get("retry-after", "") if isinstance(error.response, httpx.Response) else ""
    return float(header) if header.isdecimal() else None
