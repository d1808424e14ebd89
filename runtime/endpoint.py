"""An OpenAI-compatible endpoint that is asked until it answers, within limits on attempts, requests and money."""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from navigation import InputError
from runtime.budget import Budget, BudgetExceeded, PriceTable, Usage
from runtime.request_body import RequestBody


def backoff_seconds(attempt: int, first: float, longest: float, chance: random.Random) -> float:
    """Exponential with full jitter: uniform in `(0, min(longest, first · 2^(attempt-1))]` for attempt 1, 2, …

    Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015) spreads clients that failed at the same moment.
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 30)) * (1.0 - chance.random())


def retry_after_seconds(headers: Mapping[str, str], longest: float) -> float | None:
    """What a reply's `retry-after-ms` or `Retry-After` asks for (seconds or an HTTP date), at most `longest`."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            wait = float(headers["retry-after"])
        else:
            return None
    except ValueError:
        try:
            wait = (parsedate_to_datetime(headers["retry-after"]) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, KeyError):
            return None
    return min(longest, max(0.0, wait)) if wait == wait else None


RETRIED = frozenset({408, 409, 425, 429})
"""HTTP statuses that are asked again, besides all from 500 on."""
FATAL = frozenset({401, 402, 403, 404})
"""HTTP statuses that every other request would get too."""


class Unacceptable(Exception):
    """Raised by an `accept` function: this reply is no use, ask again. The text says why."""


class EndpointFailed(Exception):
    """One request failed for good. `reason` is a short text; `usage` what it cost nevertheless."""

    def __init__(self, reason: str, attempts: int, usage: Usage) -> None:
        self.reason, self.attempts, self.usage = reason, attempts, usage
        super().__init__(f"{reason} (attempts: {attempts})")


class EndpointDown(Exception):
    """No request will be answered: wrong key, wrong address, unknown model, or a row of failures. `usage` as above."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        self.usage = usage or Usage()
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where and how to ask.

    Args:
        url: Base address, `http://host:port/v1`; `/v1` is added to an address without a path.
        model: The model's name there.
        in_flight: Ceiling on requests at once.
        attempts: Requests for one answer before it counts as failed.
        timeout: Seconds until a request without a complete reply is given up.
        first_wait, longest_wait: Seconds; bounds of the exponential back-off.
        down_after: Answers in a row that failed for good, none succeeding between, until the endpoint counts as down.
    """

    url: str
    model: str
    in_flight: int = 64
    attempts: int = 8
    timeout: float = 600.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    down_after: int = 16

    def __post_init__(self) -> None:
        parts = urlsplit(self.url if isinstance(self.url, str) else "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("endpoint", "url", self.url, "give an address such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise InputError("endpoint", "url", parts.hostname, "give the key as OPENAI_API_KEY, not in the address")
        if not self.model:
            raise InputError("endpoint", "model", self.model, "give the name of the model the endpoint serves")
        for name in ("in_flight", "attempts", "down_after"):
            if getattr(self, name) < 1:
                raise InputError("endpoint", name, getattr(self, name), "give a whole number of at least 1")

    @property
    def base_url(self) -> str:
        url = self.url.rstrip("/")
        return url if urlsplit(url).path else url + "/v1"


@dataclass(slots=True)
class Completion:
    """An accepted reply.

    Args:
        message: The assistant message as the server sent it (`content`, `reasoning_content`, `tool_calls`, …).
        finish_reason: `stop`, `length`, `tool_calls`, …
        usage: Of all attempts at this answer, the rejected ones included.
        attempts: Requests it took.
    """

    message: dict[str, Any]
    finish_reason: str | None
    usage: Usage
    attempts: int = 1

    @property
    def text(self) -> str:
        return (self.message.get("content") or "").strip()


@dataclass(slots=True)
class _Wasted:
    """What one attempt brought instead of an answer."""

    reason: str
    wait: float | None = None
    again: bool = True
    down: bool = False
    usage: Usage = field(default_factory=lambda: Usage(requests=1, unanswered=1))


class Endpoint:
    """Asks one model for chat completions; safe for any number of concurrent calls in one event loop.

    The key comes from OPENAI_API_KEY (any text does for local servers) and never appears in messages.

    Args:
        settings: Where and how.
        prices: For the money count; a model without a price counts 0 and cannot be combined with a limit.
        budget: Limit on money, shared between endpoints if wanted.
        seed: Of the jitter only.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        prices: PriceTable | None = None,
        budget: Budget | None = None,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.budget = budget or Budget()
        table = prices or PriceTable()
        self.price = table.price(settings.model)
        if self.price is None and self.budget.limit is not None:
            hint = f"add a price for this model to {table.path}: without one a limit on money means nothing"
            raise InputError(table.path, "model", settings.model, hint)
        self._key = os.environ.get("OPENAI_API_KEY", "").strip() or "none"
        self._url = settings.base_url + "/chat/completions"
        self._proxy = _proxy(self._url)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(settings.in_flight)
        self._chance = random.Random(seed)
        self._open_from = 0.0
        self._failed_in_row = 0
        self._down: str | None = None

    async def __aenter__(self) -> "Endpoint":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def chat(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int,
        accept: Callable[[Completion], None] | None = None,
        **parameters: Any,
    ) -> Completion:
        """Asks until a reply is accepted.

        Rate limits, server errors, timeouts, disconnects, broken JSON and replies that `accept` refuses are asked anew.

        Args:
            messages: Chat messages; an image is `{"type": "image_url", "image_url": {"url": <JPEG bytes>}}`.
            max_tokens: Of the completion.
            accept: Raises `Unacceptable` for a reply that is no use.
            parameters: Further fields of the request: temperature, tools, seed, …

        Raises:
            EndpointFailed: this request cannot be answered, or all attempts are used up.
            EndpointDown: nor can any other.
            BudgetExceeded: the limit on money leaves no room for it.
        """
        body = RequestBody({"model": self.settings.model, "messages": messages, "max_tokens": max_tokens, **parameters})
        total = Usage()
        reason = ""
        for attempt in range(1, self.settings.attempts + 1):
            if self._down:
                raise EndpointDown(self._down, total)
            async with self._slots:
                await self._wait_for_opening()
                if self._down:  # it went down while this request waited for its turn
                    raise EndpointDown(self._down, total)
                try:
                    outcome = await self._paid(body, max_tokens, accept)
                except BudgetExceeded as error:
                    error.usage = total
                    raise
            total += outcome.usage
            if isinstance(outcome, Completion):
                self._failed_in_row = 0
                return Completion(outcome.message, outcome.finish_reason, total, attempt)
            reason = outcome.reason
            if outcome.down:
                self._down = outcome.reason
                raise EndpointDown(outcome.reason, total)
            if not outcome.again:
                raise EndpointFailed(outcome.reason, attempt, total)
            if attempt < self.settings.attempts:
                wait = outcome.wait
                if wait is None:
                    wait = backoff_seconds(attempt, self.settings.first_wait, self.settings.longest_wait, self._chance)
                await asyncio.sleep(wait)
        self._failed_in_row += 1
        # What was in flight when it went down fails later, and does not change what is said of it.
        if self._failed_in_row >= self.settings.down_after and not self._down:
            self._down = f"{self._failed_in_row} answers in a row failed, the last one by: {reason}"
        raise EndpointFailed(reason, self.settings.attempts, total)

    async def _wait_for_opening(self) -> None:
        clock = asyncio.get_running_loop().time
        while (wait := self._open_from - clock()) > 0:
            await asyncio.sleep(wait)

    async def _paid(self, body: RequestBody, max_tokens: int, accept: Callable | None) -> Completion | _Wasted:
        # Until the first replies are there: 4 bytes a token of text, 300 tokens an image.
        prompt = 300 * body.image_count if body.image_count else len(body) // 4
        guess = Usage(prompt_tokens=prompt, completion_tokens=max_tokens)
        ticket = await self.budget.reserve(self.price.usd(guess) if self.price else 0.0)
        cost = 0.0
        try:
            outcome = await self._once(body, accept)
            cost = outcome.usage.usd
            return outcome
        finally:
            self.budget.settle(ticket, cost)

    async def _once(self, body: RequestBody, accept: Callable | None) -> Completion | _Wasted:
        try:
            # One limit on the whole reply: a server that sends a byte now and then would never be silent for long.
            async with asyncio.timeout(self.settings.timeout), self._post(body) as response:
                status, headers, content = response.status, response.headers, await response.read()
        except TimeoutError:
            return _Wasted(f"no complete reply within {self.settings.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return _Wasted(f"connection failed: {self._clean(str(error) or type(error).__name__)}")
        try:
            record = json.loads(content)
        except (ValueError, RecursionError):
            record = None
        if status >= 300:
            told = content.decode("utf-8", "replace") if record is None else record
            return self._refused(status, headers, told)
        if record is None:
            return _Wasted("the reply is no JSON")
        completion = self._read(record, body.image_count)
        if isinstance(completion, Completion) and accept is not None:
            try:
                accept(completion)
            except Unacceptable as error:
                return _Wasted(self._clean(str(error)), usage=completion.usage)
        return completion

    def _post(self, body: RequestBody) -> Any:
        """The request under way. A client library of its own would cost more CPU a request than all the rest of it."""
        if self._session is None:
            # Made here, since it belongs to the running event loop. Slots limit the connections. aiohttp's own look at
            # the environment would read .netrc for every request.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0),
            )
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Content-Length": str(len(body)),
        }
        return self._session.post(self._url, data=body.content, headers=headers)

    def _read(self, record: object, images: int) -> Completion | _Wasted:
        choices = record.get("choices") if isinstance(record, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        usage = self._usage(record.get("usage") if isinstance(record, dict) else None, images)
        if (
            not isinstance(choice, dict)
            or not isinstance(message, dict)
            or not isinstance(message.get("content"), str | None)
        ):
            return _Wasted("the reply holds no message", usage=usage)
        return Completion(message, choice.get("finish_reason"), usage)

    def _usage(self, record: object, images: int) -> Usage:
        if not isinstance(record, Mapping):
            return Usage(requests=1, unanswered=1)
        details = record.get("prompt_tokens_details")
        details = details if isinstance(details, Mapping) else {}
        usage = Usage(
            requests=1,
            images=images,
            prompt_tokens=_count(record.get("prompt_tokens")),
            completion_tokens=_count(record.get("completion_tokens")),
            cached_tokens=_count(details.get("cached_tokens")),
            image_tokens=_count(details.get("image_tokens")),
        )
        usage.usd = self.price.usd(usage) if self.price else 0.0
        return usage

    def _refused(self, status: int, headers: Mapping[str, str], record: object) -> _Wasted:
        error = record.get("error", record) if isinstance(record, dict) else record
        detail, code = (error.get("message"), error.get("code")) if isinstance(error, dict) else (error, None)
        reason = f"HTTP {status}: {self._clean(str(detail or record or 'no reason given'))}"
        if status in FATAL or (status == 429 and code == "insufficient_quota"):
            return _Wasted(reason, again=False, down=True)
        if status not in RETRIED and status < 500:
            return _Wasted(reason, again=False)
        wait = retry_after_seconds(headers, self.settings.longest_wait)
        if status == 429 and wait is not None:
            # A rate limit is for all: asking on with the others would only prolong it.
            self._open_from = max(self._open_from, asyncio.get_running_loop().time() + wait)
        return _Wasted(reason, wait)

    def _clean(self, text: str) -> str:
        text = " ".join(text.split())[:200]
        return text.replace(self._key, "…") if self._key != "none" else text


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY)."""
    parts, proxies = urlsplit(url), getproxies()
    if proxy_bypass(parts.hostname or ""):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and urlsplit(proxy).scheme != "http":
        hint = "give the address of an HTTP proxy, http://host:port, or name the endpoint's host in NO_PROXY"
        raise InputError("environment", "proxy", urlsplit(proxy).scheme + "://…", hint)
    return proxy


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
