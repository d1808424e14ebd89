"""One question from its text to its answer: a policy and an environment that tell what happens while it happens."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from clipscout.ask.answer import Answer, answer_of
from clipscout.ask.settings import POLICY_START, LimitReached, ModelUnavailable
from clipscout.ask.video_source import SourceTree, VideoSource
from navigation import (
    DEFAULT_TOOLS,
    GET_CAPTION,
    JUMP,
    LETTERS,
    SEARCH,
    VIDEO_QA,
    InputError,
    Limits,
    Policy,
    Question,
    Reply,
    RequestFailed,
    SearchEnvironment,
    SegmentPath,
    Task,
    run,
)
from navigation.tools import parse_path
from runtime import BudgetExceeded, EndpointDown, EndpointFailed, Usage
from runtime.endpoint import label_of

Tell = Callable[[dict[str, Any]], None]
"""Takes one event. Called from the event loop and from tool threads."""


class WatchedPolicy(Policy):
    """Tells each turn: `{"type": "turn", "turn", "reasoning", "content", "calls", "prompt_tokens", …}`.

    Attributes:
        failure: What a request of the policy failed by.
    """

    def __init__(self, policy: Policy, tell: Tell) -> None:
        self._policy, self._tell = policy, tell
        self.failure: RequestFailed | None = None
        self.name = policy.name
        self._turns = 0

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        self._tell({"type": "thinking", "turn": self._turns + 1})
        try:
            reply = await self._policy.reply(task, messages)
        except RequestFailed as error:
            self.failure = error
            raise
        self._turns += 1
        message = reply.message
        texts = {"reasoning": message.get("reasoning_content") or "", "content": message.get("content") or ""}
        tokens = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        calls = len(message.get("tool_calls") or ())
        self._tell({"type": "turn", "turn": self._turns, "calls": calls, **texts, **tokens})
        return reply


class WatchedEnvironment(SearchEnvironment):
    """Tells each call before (`opening`) and after it (`opened`, `found` for a lookup, or `refused`).

    Attributes:
        asked: Segment, query and reply of the current episode's `video_qa` visits, in order.
    """

    def __init__(self, *arguments: Any, tell: Tell) -> None:
        super().__init__(*arguments)
        self._tell = tell
        self.asked: list[tuple[SegmentPath, str, str]] = []

    def reset(self, **question_row: Any) -> None:
        self.asked = []
        super().reset(**question_row)

    def get_caption(self, segment: list[int]) -> str:
        return self._watched(GET_CAPTION, segment, None, lambda: super(WatchedEnvironment, self).get_caption(segment))

    def video_qa(self, segment: list[int], query: str) -> str:
        return self._watched(VIDEO_QA, segment, query, lambda: super(WatchedEnvironment, self).video_qa(segment, query))

    def search(self, query: str, within: list[int] = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        return self._looked_up(SEARCH, query, within, lambda: super(WatchedEnvironment, self).search(query, within))

    def jump(self, time: str) -> str:
        return self._looked_up(JUMP, time, None, lambda: super(WatchedEnvironment, self).jump(time))

    def _looked_up(self, tool: str, query: object, within: object, call: Callable[[], str]) -> str:
        path = parse_path(within)
        event = {"tool": tool, "query": str(query)[:LONGEST_QUESTION], "path": list(path) if path else None}
        self._tell({"type": "opening", **event})
        before = len(self.lookups)
        reply = call()
        self._tell({"type": "found" if len(self.lookups) > before else "refused", **event, "reply": reply})
        return reply

    def _watched(self, tool: str, segment: object, query: object, call: Callable[[], str]) -> str:
        path = parse_path(segment)
        event: dict[str, Any] = {"tool": tool, "path": list(path) if path is not None else None}
        if isinstance(query, str):
            event["query"] = query
        self._tell({"type": "opening", **event})
        before = len(self.visits)
        reply = call()
        opened = len(self.visits) > before
        if opened and path is not None:
            start, end = self.tree.grid.interval(path)
            event |= {"start": start, "end": end}
            if tool == VIDEO_QA:
                self.asked.append((path, str(query), reply))
        self._tell({"type": "opened" if opened else "refused", **event, "reply": reply})
        return reply


LONGEST_QUESTION = 4000


def make_question(source: VideoSource, text: str, options: Sequence[str] = ()) -> Question:
    """A question about a source, with an id of its own and no right answer.

    Raises:
        InputError: no text, a text too long, or one option or more than 26.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_QUESTION:
        raise InputError("ask", "question", text, f"give 1 to {LONGEST_QUESTION} characters")
    options = tuple(option.strip() for option in options)
    if options and not 2 <= len(options) <= len(LETTERS):
        raise InputError("ask", "options", options, f"give 2 to {len(LETTERS)} options, or none")
    if not all(option and len(option) <= LONGEST_QUESTION for option in options):
        raise InputError("ask", "options", options, f"give each 1 to {LONGEST_QUESTION} characters")
    return Question(
        f"ask/{secrets.token_hex(8)}", source.tree.video_id, text, options, "", (), source.tree.grid.duration, "ask"
    )


async def ask(
    source: VideoSource,
    policy: Policy,
    question: Question,
    tell: Tell,
    limits: Limits | None = None,
    tools: tuple[str, ...] = DEFAULT_TOOLS,
) -> Answer:
    """Runs one question's episode.

    Tells `begin`, `thinking`, `turn`, `opening`, `opened`, `found`, `refused` and `answer` events. A search looks at
    the captions that are written, and says how many are not: it makes none.

    Raises:
        LimitReached: the next request may cost more than the limit on money leaves.
        ModelUnavailable: an endpoint that policy, captions or clips need does not answer.
        InputError: the world is broken (a video that cannot be decoded), or the captions cannot be had.
    """
    if missing := set(getattr(policy, "needed_tools", ())) - set(tools):
        # A rule says so; anything else that replies has the tools that it is shown.
        raise InputError("ask", "--tools", ",".join(tools), f"add {', '.join(sorted(missing))}: this rule needs it")
    if (trained := getattr(policy, "trained_tools", None)) not in (None, tools):
        named = ",".join(trained)
        raise InputError("ask", "--tools", ",".join(tools), f"leave it out: this model was trained with {named}")
    searched = getattr(policy, "trained_search", None)
    if SEARCH in tools and searched is not None and searched.differs(source.search.settings):
        raise InputError("ask", "search", source.search.settings, f"this model was trained with {searched}")
    grid = source.tree.grid
    before, made = source.usage, _made(source)
    watched = WatchedPolicy(policy, tell)
    asked = {"id": question.id, "question": question.question, "options": list(question.options)}
    shape = {"duration": grid.duration, "width": grid.width, "depth": grid.depth}
    tell({"type": "begin", "video": source.tree.video_id, "policy": policy.name, **asked, **shape})
    try:
        await source.prepare()
        tell({"type": "overview", "segments": [overview(source, path) for path in grid.paths(1)]})
        if SEARCH in tools and source.on_demand is not None:
            await source.on_demand.take_in_written()
        environment = WatchedEnvironment(SourceTree(source), source.answerer, tools, source.search, tell=tell)
        trajectory = await run(watched, environment, question, limits)
    except BudgetExceeded as error:
        hint = "give a higher limit to go on; captions written so far are kept"
        raise LimitReached("ask", "--max-usd", str(error), hint) from None
    except (EndpointFailed, EndpointDown) as error:
        if error is watched.failure:
            hint = f"start the model that --url names, for example `{POLICY_START}`, or fix what it says: {error}"
            raise ModelUnavailable("ask", "policy", label_of(str(error)), hint) from None
        hint = f"start the model that --caption-url and --clip-url name, or fix what it says: {error}"
        raise ModelUnavailable("ask", "captions or clips", label_of(str(error)), hint) from None
    spent, new = _less(source.usage, before), _made(source) - made
    answer = answer_of(source, question, trajectory, policy.name, environment.asked, spent, new)
    tell({"type": "answer", **answer.to_dict(messages=False)})
    return answer


def overview(source: VideoSource, path: tuple[int, ...]) -> dict[str, Any]:
    """One segment as events tell it."""
    start, end = source.tree.grid.interval(path)
    return {"path": list(path), "start": start, "end": end, "caption": source.known(path) or ""}


def _made(source: VideoSource) -> int:
    """Captions written so far, by requests that were answered."""
    if source.on_demand is None:
        return 0
    return source.on_demand.usage.requests - source.on_demand.usage.unanswered


def _less(after: Usage, before: Usage) -> Usage:
    return Usage(*(getattr(after, name) - getattr(before, name) for name in Usage.__dataclass_fields__))
