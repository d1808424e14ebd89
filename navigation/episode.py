"""The one loop that the teacher, the evaluation and `clipscout ask` share."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from navigation.environment import NavigationEnvironment, refusals_of, visits_of
from navigation.policy import Policy, Task
from navigation.prompt import initial_messages
from navigation.question import Question
from navigation.status import Status, read_outcome
from navigation.tools import TOOLS
from navigation.trajectory import Trajectory

TOOL_NAMES = tuple(tool["function"]["name"] for tool in TOOLS)


@dataclass(frozen=True, slots=True)
class Limits:
    """When an episode is over whatever the policy wants.

    Args:
        turns: Assistant messages, the answer included.
        tokens: Completion tokens over all turns, as the policy counts them; None for no limit.
    """

    turns: int = 15
    tokens: int | None = None


async def run(
    policy: Policy, environment: NavigationEnvironment, question: Question, limits: Limits | None = None, sample: int = 0
) -> Trajectory:
    """Plays one question to its end. A policy that fails ends its episode as `failed`; it does not raise.

    Cancelling stops at once and leaves no record.
    """
    limits = limits or Limits()
    begun = time.monotonic()
    observation = environment.reset(video_id=question.video_id)
    messages = initial_messages(question)
    messages[-1]["content"] += observation
    task = Task(question.public, environment._current.grid, tuple(messages), TOOLS, sample)
    turns = prompt_tokens = completion_tokens = 0
    truncated, error = False, None
    while turns < limits.turns:
        try:
            reply = await policy.reply(task, messages)
        except asyncio.CancelledError:
            raise
        except Exception as failure:  # a policy is foreign code: what it raises is a datum of this episode
            error = f"{type(failure).__name__}: {failure}"
            break
        turns += 1
        prompt_tokens += reply.prompt_tokens
        completion_tokens += reply.completion_tokens
        messages.append(reply.message)
        truncated = reply.truncated
        if truncated or not reply.message.get("tool_calls"):
            break
        if limits.tokens is not None and completion_tokens >= limits.tokens:
            truncated = True
            break
        messages.extend(await asyncio.to_thread(_execute, environment, reply.message["tool_calls"]))
    status, prediction = read_outcome(messages, len(question.options), truncated, turns_left=turns < limits.turns)
    if error is not None:
        status, prediction = Status.FAILED, None
    return Trajectory(
        id=f"{question.id}#{sample}", question_id=question.id, video_id=question.video_id, messages=messages, tools=TOOLS,
        prediction=prediction, correct=prediction == question.answer, status=status, visits=visits_of(environment),
        refused=len(refusals_of(environment)), turns=turns, prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens, seconds=time.monotonic() - begun, error=error,
    )  # fmt: skip


def _execute(environment: NavigationEnvironment, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "tool", "name": _name(call), "content": _call(environment, call)} for call in calls]


def _name(call: dict[str, Any]) -> str:
    return str((call.get("function") or {}).get("name"))


def _call(environment: NavigationEnvironment, call: dict[str, Any]) -> str:
    arguments = (call.get("function") or {}).get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (json.JSONDecodeError, RecursionError):
            arguments = None
    name = _name(call)
    if name not in TOOL_NAMES:
        return environment._refuse(f"Error: no tool {name[:40]!r}; there are {' and '.join(TOOL_NAMES)}.")
    if not isinstance(arguments, dict):
        return environment._refuse(f"Error: {name} takes its arguments as a JSON object.")
    if name == "get_caption":
        return environment.get_caption(arguments.get("segment"))  # type: ignore[arg-type]
    return environment.video_qa(arguments.get("segment"), arguments.get("query"))  # type: ignore[arg-type]
