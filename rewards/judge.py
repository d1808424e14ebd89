"""A judge behind an OpenAI-compatible endpoint: votes, kept verdicts, limits on requests and money."""

import asyncio
import atexit
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Self

from navigation import InputError, Question, RequestFailed
from rewards.answer import Verdict, by_rules, no_verdict
from rewards.verdict_text import LONGEST, SCHEMA, load_prompt, read_verdict, render
from runtime import (
    BodyOptions,
    Budget,
    Completion,
    Endpoint,
    EndpointSettings,
    Filtered,
    Journal,
    PriceTable,
    Unacceptable,
    Usage,
)
from runtime.budget import PRICES
from runtime.paid_calls import CallCache, Stopped

USELESS_AFTER = 16
"""Answers in a row without a verdict after which the judge is asked no more."""
MORE_ROOM = 4
"""A reply that was cut is asked for again with more room, up to so many times `max_tokens`."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Who judges and how.

    Args:
        url: OpenAI-compatible endpoint.
        model: Its name there.
        votes: Times it is asked, an odd number; it is asked no more once most of them agree.
        prompt: File of its instructions; default: the project's.
        max_tokens: Completion tokens of one reply.
        max_usd: Stop before more than this is spent on the folder.
        in_flight: Requests at once.
        attempts: Requests for one readable reply.
        timeout: Seconds until a request is given up.
        first_wait: Seconds; where the back-off between attempts begins.
        request: How requests are written, see `BodyOptions.load`.
        prices: Price table; default: the project's.
    """

    url: str
    model: str
    votes: int = 3
    prompt: str | None = None
    max_tokens: int = 512
    max_usd: float | None = None
    in_flight: int = 32
    attempts: int = 4
    timeout: float = 120.0
    first_wait: float = 1.0
    request: str = ""
    prices: str | None = None

    def __post_init__(self) -> None:
        if type(self.votes) is not int or self.votes < 1 or self.votes % 2 == 0:
            raise InputError("judge", "votes", self.votes, "give an odd number, so that most can agree")
        if type(self.max_tokens) is not int or self.max_tokens < 1:
            raise InputError("judge", "max_tokens", self.max_tokens, "give a whole number of at least 1")
        self.endpoint()
        load_prompt(self.prompt)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "JudgeSettings | None":
        """Reads the `judge:` section of a run's config; None where there is none.

        Raises:
            InputError: an unknown key, or a value that cannot be.
        """
        if config is None:
            return None
        known = {each.name for each in fields(cls)}
        if not isinstance(config, Mapping):
            raise InputError("judge", "config", config, f"give a mapping of {', '.join(sorted(known))}")
        if unknown := next((key for key in config if key not in known), None):
            raise InputError("judge", str(unknown), config[unknown], f"give one of {', '.join(sorted(known))}")
        for name in ("url", "model"):
            if not isinstance(config.get(name), str):
                raise InputError("judge", name, config.get(name), "give the endpoint's address and its model's name")
        return cls(**config)

    def endpoint(self) -> EndpointSettings:
        body = BodyOptions.load(self.request)
        return EndpointSettings(
            self.url,
            self.model,
            self.in_flight,
            self.attempts,
            self.timeout,
            self.first_wait,
            60 * self.first_wait,
            body=body,
        )

    def to_dict(self) -> dict[str, Any]:
        """What decides its verdicts, and so tells it from another judge."""
        decided = {
            "judge": "model",
            "model": self.model,
            "prompt_sha256": hashlib.sha256(load_prompt(self.prompt).encode()).hexdigest(),
            "votes": self.votes,
            "temperature": 0.0,
            "max_tokens": self.max_tokens,
            "longest_text": LONGEST,
        }
        extra = self.endpoint().body.extra
        return {**decided, **({"extra": dict(extra)} if extra else {})}


class ModelJudge:
    """Judges by votes of one model; every reply is paid for once and kept in a journal.

    Each vote is a request at temperature 0; every second one shows the answer before the references, so that a judge
    who looks at positions disagrees with itself. Verdict is what more than half of the votes say; without such a
    majority nobody can tell. Use it in one event loop, as `async with ModelJudge(settings, path) as judge`.

    Args:
        settings: Who and how.
        path: Of the journal; it takes one judge only.
    """

    def __init__(self, settings: JudgeSettings, path: str | Path) -> None:
        self._settings, self._prompt = settings, load_prompt(settings.prompt)
        prices = PriceTable(settings.prices or PRICES)
        self._endpoint = Endpoint(settings.endpoint(), prices, Budget(settings.max_usd))
        self._journal = Journal(path, self.settings)
        self.calls = CallCache(self._endpoint, self._journal)
        self._asked: dict[str, asyncio.Task[Verdict]] = {}
        self._failed_in_row = 0
        self._useless = ""

    async def __aenter__(self) -> Self:
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        self._journal.close()
        await self._endpoint.__aexit__(None, None, None)

    @property
    def settings(self) -> dict[str, Any]:
        return self._settings.to_dict()

    @property
    def stopped(self) -> str:
        return self.calls.stopped or self._useless

    @property
    def usage(self) -> Usage:
        """Of all requests into the journal, those of earlier runs and the failed ones included."""
        return self.calls.usage + self.calls.earlier

    async def verdict(self, question: Question, answer: str) -> Verdict:
        """See `rewards.answer.Judge`. Equal questions with equal answers are judged once."""
        key = _key([question.question, question.references, answer])
        task = self._asked.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            if self.stopped:
                raise Stopped(self.stopped)
            task = self._asked[key] = asyncio.ensure_future(self._counted(question, answer))
        return await asyncio.shield(task)

    async def _counted(self, question: Question, answer: str) -> Verdict:
        """A verdict; a judge that cannot be read time after time is as good as none, and is asked no more."""
        try:
            found = await self._vote(question, answer)
        except RequestFailed as failure:
            self._failed_in_row += 1
            if self._failed_in_row >= USELESS_AFTER:
                reason = getattr(failure, "reason", str(failure))
                self._useless = f"{self._failed_in_row} answers in a row got no verdict, the last one by: {reason}"
            raise
        self._failed_in_row = 0
        return found

    async def _vote(self, question: Question, answer: str) -> Verdict:
        most, cast = self._settings.votes // 2 + 1, 0
        said: list[tuple[str, float | None]] = []
        while cast < self._settings.votes:
            # As many as most of all at once, then one by one.
            count = most if not cast else 1
            asked = [self._ask(question, answer, cast + number) for number in range(count)]
            # One that fails waits for the others: their replies are paid for, and kept for the next try.
            for vote in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(vote, Filtered):
                    return Verdict("cannot_tell", None, "judge", reason=vote.reason)
                if isinstance(vote, BaseException):
                    raise vote
                said.append(vote)
            cast += count
            label, agreed = Counter(label for label, _ in said).most_common(1)[0]
            if agreed >= most:
                shares = [share for each, share in said if each == label and share is not None]
                return Verdict(label, median(shares) if shares else None, "judge", tuple(each for each, _ in said))
        votes = tuple(label for label, _ in said)
        return Verdict("cannot_tell", None, "judge", votes, "no majority of the votes")

    async def _ask(self, question: Question, answer: str, vote: int) -> tuple[str, float | None]:
        text = render(self._prompt, question.question, question.references, answer, vote)

        def readable(completion: Completion) -> None:
            if read_verdict(completion.text, answer) is None:
                raise Unacceptable("no readable verdict")

        record, _ = await self.calls.chat(
            _key([self.settings, text, vote]),
            [{"role": "user", "content": text}],
            self._settings.max_tokens,
            readable,
            longest=MORE_ROOM * self._settings.max_tokens,
            temperature=0.0,
            seed=vote,
            response_format=SCHEMA,
        )
        found = read_verdict(record["content"], answer)
        if found is None:
            raise RequestFailed(f"no readable verdict: {record['content'][:80]}")
        return found


def _key(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()


class JudgeThread:
    """A judge for code that does not wait: verdicts of a whole batch at once, from an event loop in a thread.

    Picklable; the judge is opened in the process that first asks.

    Args:
        settings: Of the judge.
        path: Of its journal.
    """

    def __init__(self, settings: JudgeSettings, path: str | Path) -> None:
        self.settings, self.path = settings, Path(path)
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._judge: ModelJudge | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings, "path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def stopped(self) -> str:
        """Why it is asked no more; empty while it is."""
        return "" if self._judge is None else self._judge.stopped

    @property
    def usage(self) -> Usage:
        return Usage() if self._judge is None else self._judge.usage

    def verdicts(self, answers: Sequence[tuple[Question, str]]) -> list[Verdict]:
        """One verdict an answer, in order; `none` with the reason where the judge could not be asked or read."""
        known = [by_rules(question, answer) for question, answer in answers]
        open_ = [pair for pair, found in zip(answers, known, strict=True) if found is None]
        if not open_:
            return [each for each in known if each is not None]
        asked = iter(asyncio.run_coroutine_threadsafe(self._all(open_), self._running()).result())
        return [next(asked) if each is None else each for each in known]

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop, ready = asyncio.new_event_loop(), Future[None]()
                threading.Thread(target=_run_loop, args=(loop, ready), name="judge", daemon=True).start()
                ready.result()
                self._loop = loop
                atexit.register(self._close)
            return self._loop

    def _close(self) -> None:
        """Ends the journal and the connections, which the process's end would break off."""
        if self._judge is not None and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._judge.__aexit__(), self._loop).result()

    async def _all(self, answers: Sequence[tuple[Question, str]]) -> list[Verdict]:
        if self._judge is None:
            self._judge = ModelJudge(self.settings, self.path)
        return await asyncio.gather(*(self._one(self._judge, *each) for each in answers))

    async def _one(self, judge: ModelJudge, question: Question, answer: str) -> Verdict:
        try:
            return await judge.verdict(question, answer)
        except RequestFailed as failure:
            return no_verdict(getattr(failure, "reason", str(failure)))


def _run_loop(loop: asyncio.AbstractEventLoop, ready: "Future[None]") -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(ready.set_result, None)
    loop.run_forever()
