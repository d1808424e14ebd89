"""One question from its text to its answer: a policy and an environment that tell what happens while it happens."""

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from clipscout.ask.answer import Answer, answer_of
from clipscout.ask.descent import DescentPolicy, Quoting
from clipscout.ask.material import Material, OneTree
from clipscout.ask.models import POLICY_START, LimitReached, Parts
from evaluation.policies import make_policy
from evaluation.policies.endpoint import EndpointPolicy
from navigation import (
    GET_CAPTION,
    LETTERS,
    VIDEO_QA,
    InputError,
    Limits,
    NavigationEnvironment,
    Policy,
    Question,
    Reply,
    SegmentPath,
    Status,
    Task,
    TreeStore,
    run,
)
from navigation.tools import parse_path
from runtime import BudgetExceeded, Completion, Endpoint, EndpointDown, EndpointFailed, Unacceptable, Usage

Tell = Callable[[dict[str, Any]], None]
"""Takes one event. Called from the event loop and from tool threads."""


class WatchedPolicy(Policy):
    """Tells each turn: `{"type": "turn", "turn", "reasoning", "content", "calls", "prompt_tokens", …}`.

    Attributes:
        out_of_money: Set where the limit on money ended the episode.
    """

    def __init__(self, policy: Policy, tell: Tell) -> None:
        self._policy, self._tell = policy, tell
        self.budget_exceeded: BudgetExceeded | None = None
        self.name = policy.name
        self._turns = 0

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        self._tell({"type": "thinking", "turn": self._turns + 1})
        try:
            reply = await self._policy.reply(task, messages)
        except BudgetExceeded as error:
            self.budget_exceeded = error
            raise
        self._turns += 1
        message = reply.message
        self._tell({
            "type": "turn", "turn": self._turns, "reasoning": message.get("reasoning_content") or "",
            "content": message.get("content") or "", "calls": len(message.get("tool_calls") or ()),
            "prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens,
        })  # fmt: skip
        return reply


class WatchedEnvironment(NavigationEnvironment):
    """Tells each call before (`opening`) and after it (`opened`, or `refused`).

    Attributes:
        asked: Segment, query and reply of the current episode's `video_qa` visits, in order.
    """

    def __init__(self, *arguments: Any, tell: Tell) -> None:
        super().__init__(*arguments)
        self._tell = tell
        self.asked: list[tuple[SegmentPath, str, str]] = []

    def reset(self, **question_row: Any) -> str:
        self.asked = []
        return super().reset(**question_row)

    def get_caption(self, segment: list[int]) -> str:
        return self._watched(GET_CAPTION, segment, None, lambda: super(WatchedEnvironment, self).get_caption(segment))

    def video_qa(self, segment: list[int], query: str) -> str:
        return self._watched(VIDEO_QA, segment, query, lambda: super(WatchedEnvironment, self).video_qa(segment, query))

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
            start, end = self.grid.interval(path)
            event |= {"start": start, "end": end}
            if tool == VIDEO_QA:
                self.asked.append((path, str(query), reply))
        self._tell({"type": "opened" if opened else "refused", **event, "reply": reply})
        return reply


_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


class LiveCalls:
    """Stands where an evaluation has its journal of paid calls.

    Args:
        endpoint: Who is asked.
        temperature: Of a reply.
        max_tokens: Of a reply.
    """

    stopped = ""

    def __init__(self, endpoint: Endpoint, temperature: float = 0.0, max_tokens: int = 2048) -> None:
        self.temperature, self.max_tokens = temperature, max_tokens
        self.endpoint = endpoint
        self._spent: dict[str, tuple[int, int]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        model = self.endpoint.settings.model
        return {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    async def chat(self, task: Task, messages: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
        """The reply as `{message, finish_reason}`. Raises EndpointFailed, EndpointDown or BudgetExceeded."""
        completion = await self.endpoint.chat(
            messages, self.max_tokens, _accept, temperature=self.temperature, **parameters
        )
        self._spent[task.question.id] = completion.usage.prompt_tokens, completion.usage.completion_tokens
        return {"message": with_reasoning(completion.message), "finish_reason": completion.finish_reason}

    def spent(self, task: Task) -> tuple[int, int]:
        """Prompt and completion tokens of the last reply."""
        return self._spent.pop(task.question.id, (0, 0))


def with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """The message with reasoning apart, where a server without a reasoning parser left it in the content."""
    match = _THINK.match(message.get("content") or "")
    if match is None or message.get("reasoning_content"):
        return message
    return {**message, "reasoning_content": match.group(1).strip(), "content": message["content"][match.end() :]}


def _accept(completion: Completion) -> None:
    if not completion.text and not completion.message.get("tool_calls"):
        raise Unacceptable("an empty reply")


PLANNED, SEARCHING = ("uniform", "random", "exhaustive"), ("best_first", "coarse_to_fine", "spotlight")
POLICIES = ("descent", *PLANNED, *SEARCHING, "local", "endpoint")
LONGEST_QUESTION = 4000


def make_navigator(parts: Parts) -> Policy:
    """The policy that `parts` name. `descent` is the rule where nothing else is said.

    Raises:
        InputError: an unknown name, or a part that the policy needs and that is not given.
    """
    if parts.policy not in POLICIES:
        raise InputError("ask", "--policy", parts.policy, f"give one of {', '.join(POLICIES)}")
    if parts.policy == "endpoint":
        settings = parts.policy_server.settings("policy")
        if settings is None:
            hint = f"start the model, for example `{POLICY_START}`, and pass --url and --model"
            raise InputError("ask", "--url", "", hint)
        return EndpointPolicy(LiveCalls(parts.endpoint(settings), parts.temperature), parts.seed)
    if parts.policy == "local":
        if not parts.checkpoint:
            hint = "give the folder or Hub name of a trained model, as `make sft` or `make rl` left it"
            raise InputError("ask", "--model", "", hint)
        return make_policy(
            "local", TreeStore("."), (), parts.seed, checkpoint=parts.checkpoint, temperature=parts.temperature
        )
    if parts.policy == "descent":
        return DescentPolicy(seed=parts.seed)
    rule = make_policy(parts.policy, TreeStore("."), (), parts.seed)
    return Quoting(rule) if parts.policy in PLANNED else rule


def make_question(material: Material, text: str, options: Sequence[str] = ()) -> Question:
    """A question about a subject, with an id of its own and no right answer.

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
        f"ask/{secrets.token_hex(8)}", material.tree.video_id, text, options, "", (), material.tree.grid.duration, "ask"
    )


async def ask(
    material: Material, policy: Policy, question: Question, tell: Tell, limits: Limits | None = None
) -> Answer:
    """Episodes one question and tells `begin`, `thinking`, `turn`, `opening`, `opened`, `refused` and `answer` events.

    Raises:
        LimitReached: the next request may cost more than the limit on money leaves.
        InputError: the world is broken (a video that cannot be decoded), or the captions cannot be had.
    """
    if not question.options and policy.name in SEARCHING:
        hint = "this rule chooses among options: give some, or let `descent` or a model navigate"
        raise InputError("ask", "options", [], hint)
    grid = material.tree.grid
    before, made = material.usage, _made(material)
    begin: dict[str, Any] = {
        "type": "begin", "id": question.id, "video": material.tree.video_id, "question": question.question,
        "options": list(question.options), "policy": policy.name, "duration": grid.duration, "width": grid.width,
        "depth": grid.depth,
    }  # fmt: skip
    tell(begin)
    try:
        await material.prepare()
        tell({"type": "overview", "segments": [overview(material, path) for path in grid.paths(1)]})
        environment = WatchedEnvironment(OneTree(material), material.answerer, tell=tell)
        watched = WatchedPolicy(policy, tell)
        trajectory = await run(watched, environment, question, limits)
        if watched.budget_exceeded is not None:
            raise watched.budget_exceeded
    except BudgetExceeded as error:
        hint = "give a higher limit to go on; captions written so far are kept"
        raise LimitReached("ask", "--max-usd", str(error), hint) from None
    except (EndpointFailed, EndpointDown) as error:
        raise InputError(
            "ask",
            "captions or clips",
            str(error),
            "start the model that --caption-url and --clip-url name, and ask again",
        ) from None
    answer = answer_of(
        material, question, trajectory, policy.name, environment.asked, _less(material.usage, before),
        _made(material) - made,
    )  # fmt: skip
    tell({"type": "answer", **answer.to_dict(messages=False)})
    if trajectory.status is Status.FAILED and isinstance(policy, EndpointPolicy):
        hint = f"start the model that --url names, for example `{POLICY_START}`"
        raise InputError("ask", "policy", trajectory.error, hint)
    return answer


def overview(material: Material, path: tuple[int, ...]) -> dict[str, Any]:
    """One segment as events tell it."""
    start, end = material.tree.grid.interval(path)
    return {"path": list(path), "start": start, "end": end, "caption": material.known(path) or ""}


def _made(material: Material) -> int:
    """Captions written so far, by requests that were answered."""
    if material.on_demand is None:
        return 0
    return material.on_demand.usage.requests - material.on_demand.usage.unanswered


def _less(after: Usage, before: Usage) -> Usage:
    return Usage(*(getattr(after, name) - getattr(before, name) for name in Usage.__dataclass_fields__))
