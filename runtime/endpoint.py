"""An OpenAI-compatible endpoint that is asked until it answers, within limits on attempts, requests and money."""

import asyncio
import logging
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from navigation import ContentRefused, InputError, PromptTooLong, RequestFailed
from runtime.budget import Budget, BudgetExceeded, PriceTable, Usage
from runtime.reply import Completion, Failure, Kind, Sent, read_reply
from runtime.request_body import ROOM, BodyOptions, RequestBody


def backoff_seconds(attempt: int, first: float, longest: float, chance: random.Random) -> float:
    """Exponential with full jitter: uniform in `(0, min(longest, first · 2^(attempt-1))]` for attempt 1, 2, …

    Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015) spreads clients that failed at the same moment.
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 30)) * (1.0 - chance.random())


class Unacceptable(Exception):
    """Raised by an `accept` function: this reply is no use, ask again. The text says why."""


class EndpointFailed(RequestFailed):
    """One request failed for good. `reason` says why, where and what to do; `usage` is what it cost nevertheless."""

    def __init__(self, reason: str, attempts: int, usage: Usage) -> None:
        self.reason, self.attempts, self.usage = reason, attempts, usage
        super().__init__(f"{reason} (attempts: {attempts})")

    @property
    def label(self) -> str:
        """What failures are counted by: `HTTP 400`, `connection failed`, …"""
        return label_of(self.reason)


class OutOfContext(EndpointFailed, PromptTooLong):
    """The prompt, with the room for a reply, does not fit the model's context."""


class Filtered(EndpointFailed, ContentRefused):
    """The provider refused the request or cut its reply for content."""


class EndpointDown(RequestFailed):
    """No request will be answered: wrong key, wrong address, unknown model, or a row of failures. `usage` as above."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        self.usage = usage or Usage()
        super().__init__(reason)


def label_of(reason: str) -> str:
    """What stands before the details of a reason."""
    return re.split(r": | \[", reason, maxsplit=1)[0]


_ERRORS = {Kind.TOO_LONG: OutOfContext, Kind.FILTERED: Filtered}
_ENDPOINTS = "audio/transcriptions chat/completions completions responses models messages embeddings"
_ENDS = tuple(f"/{end}" for end in _ENDPOINTS.split())


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
        down_after: Answers in a row that failed for good, none succeeding between, until the endpoint counts as down;
            half as many while none has succeeded at all.
        body: How requests are written for this server.
    """

    url: str
    model: str
    in_flight: int = 64
    attempts: int = 8
    timeout: float = 600.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    down_after: int = 16
    body: BodyOptions = field(default_factory=BodyOptions)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url if isinstance(self.url, str) else "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("endpoint", "url", self.url, "give an address such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise InputError("endpoint", "url", parts.hostname, "give the key as OPENAI_API_KEY, not in the address")
        if parts.query or parts.fragment:
            bare = self.url.partition("?")[0].partition("#")[0]
            raise InputError("endpoint", "url", f"{bare}?…", "leave out what follows the path")
        if end := next((end for end in _ENDS if parts.path.rstrip("/").endswith(end)), None):
            raise InputError("endpoint", "url", self.url, f"give the base address, without {end}")
        if not self.model:
            raise InputError("endpoint", "model", self.model, "give the name of the model the endpoint serves")
        for name in ("in_flight", "attempts", "down_after"):
            if getattr(self, name) < 1:
                raise InputError("endpoint", name, getattr(self, name), "give a whole number of at least 1")

    @property
    def base_url(self) -> str:
        url = self.url.rstrip("/")
        return url if urlsplit(url).path else url + "/v1"


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
        self.notes: list[str] = []
        """What of the requests was changed because the server refuses it, in words."""
        self._body = settings.body
        self._open_from = 0.0
        self._failed_in_row = 0
        self._answered = False
        self._down: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def chat(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int,
        accept: Callable[[Completion], None] | None = None,
        longest: int | None = None,
        **parameters: Any,
    ) -> Completion:
        """Asks until a reply is accepted.

        Rate limits, server errors, timeouts, disconnects, broken JSON and replies that `accept` refuses are asked anew.
        A field of ours that the server names as unknown to it is left out or renamed, for this request and all others.

        Args:
            messages: Chat messages; an image is `{"type": "image_url", "image_url": {"url": <JPEG bytes>}}`.
            max_tokens: Of the completion.
            accept: Raises `Unacceptable` for a reply that is no use.
            longest: A reply that was cut for want of room is asked again with twice the room, up to so many tokens, and
                fails if it is cut then. None: a cut reply is returned, its `finish_reason` is `length`.
            parameters: Further fields of the request: temperature, tools, seed, …

        Raises:
            OutOfContext, Filtered: the reasons among the next that end an episode in a way of its own.
            EndpointFailed: this request cannot be answered, or all attempts are used up.
            EndpointDown: nor can any other.
            BudgetExceeded: the limit on money leaves no room for it.
        """
        fields = {"model": self.settings.model, "messages": messages, ROOM: max_tokens, **parameters}
        total, attempt = Usage(), 0
        while True:
            attempt += 1
            options = self._body
            body = RequestBody(options.body(fields))
            outcome = await self._when_open(body, fields[ROOM], options.stream, total)
            total += outcome.usage
            if isinstance(outcome, Completion):
                self._answered, self._failed_in_row = True, 0
                if outcome.finish_reason == "length" and longest is not None:
                    if fields[ROOM] < longest:
                        fields[ROOM] = min(longest, 2 * fields[ROOM])
                        attempt -= 1
                        continue
                    cut = f"the reply was cut: no end within {longest} tokens"
                    raise EndpointFailed(self._told(cut, "raise --max-tokens"), attempt, total)
                try:
                    if accept is not None:
                        accept(outcome)
                    return Completion(outcome.message, outcome.finish_reason, total, attempt)
                except Unacceptable as error:
                    outcome = Failure(self._clean(str(error)), "use another model, or raise --attempts", usage=Usage())
            if outcome.status in (400, 422) and outcome.kind is not Kind.FILTERED and self._avoid(outcome, options):
                attempt -= 1
                continue
            await self._after(outcome, attempt, total)

    async def probe(self, **parameters: Any) -> list[str]:
        """Asks one small question with these fields; returns what the server refuses of them, with the way to say so.

        Raises:
            EndpointFailed, EndpointDown, BudgetExceeded: it cannot be asked at all.
        """
        await self.chat([{"role": "user", "content": "Say yes."}], 16, **parameters)
        return list(self.notes)

    def _avoid(self, failure: Failure, options: BodyOptions) -> bool:
        """Whether the request can be written so that the server takes it."""
        if options is not self._body:  # another request has found out meanwhile
            return True
        if (found := options.without_refused(failure.told)) is None:
            return False
        self._body, change = found
        note = f"{self._url} refuses a field: {change}. Give --request a preset or a file that says so"
        self.notes.append(note)
        logging.getLogger(__name__).warning(note)
        return True

    async def _when_open(self, body: RequestBody, room: int, stream: bool, total: Usage) -> Completion | Failure:
        if self._down:
            raise EndpointDown(self._down, total)
        async with self._slots:
            await self._wait_for_opening()
            if self._down:  # it went down while this request waited for its turn
                raise EndpointDown(self._down, total)
            try:
                return await self._paid(body, room, stream)
            except BudgetExceeded as error:
                error.usage = total
                raise

    async def _after(self, failure: Failure, attempt: int, total: Usage) -> None:
        """Waits before the next attempt, or raises if there is none."""
        reason = self._told(failure.reason, failure.hint)
        if failure.kind is Kind.DOWN:
            self._down = reason
            raise EndpointDown(reason, total)
        if failure.kind is Kind.PASSING and attempt < self.settings.attempts:
            wait = backoff_seconds(attempt, self.settings.first_wait, self.settings.longest_wait, self._chance)
            if failure.wait is not None:
                # Asked for less than the first wait, the back-off still grows with every attempt.
                short = failure.wait < self.settings.first_wait
                wait = min(self.settings.longest_wait, max(failure.wait, wait) if short else failure.wait)
                if failure.status == 429:
                    # A rate limit is for all: asking on with the others would only prolong it.
                    self._open_from = max(self._open_from, asyncio.get_running_loop().time() + wait)
            await asyncio.sleep(wait)
            return
        if failure.kind is not Kind.FILTERED and not (failure.kind is Kind.TOO_LONG and self._answered):
            self._failed_in_row += 1
            passing = failure.kind is Kind.PASSING
            most = self.settings.down_after if passing or self._answered else -(-self.settings.down_after // 2)
            # What was in flight when it went down fails later, and does not change what is said of it.
            if self._failed_in_row >= most and not self._down:
                self._down = f"{self._failed_in_row} answers in a row failed, the last one by: {reason}"
        raise _ERRORS.get(failure.kind, EndpointFailed)(reason, attempt, total)

    def _told(self, reason: str, hint: str) -> str:
        """A reason with the address and what to do."""
        return f"{self._clean(reason)} [{self._url}: {hint}]"

    async def _wait_for_opening(self) -> None:
        clock = asyncio.get_running_loop().time
        while (wait := self._open_from - clock()) > 0:
            await asyncio.sleep(wait)

    async def _paid(self, body: RequestBody, room: int, stream: bool) -> Completion | Failure:
        sent = Sent(body.prompt_tokens, room, body.image_count, self.price, stream, self._answered, self._url)
        guess = Usage(prompt_tokens=sent.prompt_tokens, completion_tokens=room)
        ticket = await self.budget.reserve(self.price.usd(guess) if self.price else 0.0)
        # If this is cancelled after it was sent, it may be billed.
        cost = sent.lost().usd
        try:
            outcome = await self._once(body, sent)
            cost = outcome.usage.usd
            return outcome
        finally:
            self.budget.settle(ticket, cost)

    async def _once(self, body: RequestBody, sent: Sent) -> Completion | Failure:
        try:
            # One limit on the whole reply: a server that sends a byte now and then would never be silent for long.
            async with asyncio.timeout(self.settings.timeout), self._post(body) as response:
                status, headers, content = response.status, response.headers, await response.read()
        except TimeoutError:
            reason = f"no complete reply within {self.settings.timeout:g} s"
            return Failure(reason, "raise --timeout, or lower --in-flight", usage=sent.lost())
        except (aiohttp.ClientError, OSError) as error:
            reason = f"connection failed: {str(error) or type(error).__name__}"
            # Only what was never connected is known to have cost nothing.
            usage = Usage(requests=1, unanswered=1) if isinstance(error, aiohttp.ClientConnectorError) else sent.lost()
            return Failure(reason, "start the server, or fix --url", usage=usage)
        return read_reply(status, headers, content, sent)

    def _post(self, body: RequestBody) -> Any:
        """The request under way. A client library of its own would cost more CPU a request than all the rest of it."""
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        return self._connections().post(self._url, data=body.content, headers=headers)

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Made here, since it belongs to the running event loop. Slots limit the connections. aiohttp's own look at
            # the environment would read .netrc for every request.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0),
            )
        return self._session

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
