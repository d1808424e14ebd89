"""The one loop that the teacher, the evaluation and `clipscout ask` share."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navigation.environment import NavigationEnvironment
from navigation.policy import ContentRefused, PromptTooLong, Replies, Reply, RequestFailed, Task
from navigation.prompt import initial_messages
from navigation.question import Question
from navigation.status import Status, read_outcome
from navigation.tools import ARGUMENTS, tool_schemas
from navigation.trajectory import Trajectory


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
    policy: Replies,
    environment: NavigationEnvironment,
    question: Question,
    limits: Limits | None = None,
    sample: int = 0,
) -> Trajectory:
    """Plays one question to its end. A policy that fails ends its episode as `failed`; it does not raise.

    Cancelling stops at once and leaves no record.

    Raises:
        InputError: the video has no caption tree.
        RequestFailed: a request of the policy was not answered: the episode has no outcome.
        Exception: whatever the `video_qa` answerer raises: the world failed, and the episode says nothing.
    """
    limits = limits or Limits()
    begun = time.monotonic()
    environment.reset(video_id=question.video_id)
    messages, tools = initial_messages(question, environment.tree, environment.tools), tool_schemas(environment.tools)
    task = Task(question.public, environment.tree.grid, tuple(messages), tools, sample)
    turns = prompt_tokens = completion_tokens = 0
    truncated, filtered, error = False, False, None
    while turns < limits.turns:
        try:
            reply = _checked(await policy.reply(task, messages))
        except PromptTooLong as full:
            truncated, error = True, str(full)
            break
        except ContentRefused as refusal:
            filtered, error = True, str(refusal)
            break
        except RequestFailed:
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
    status, prediction = read_outcome(
        messages, len(question.options), truncated, turns_left=turns < limits.turns, filtered=filtered
    )
    if error is not None and not (truncated or filtered):
        status, prediction = Status.FAILED, None
    return Trajectory(
        id=f"{question.id}#{sample}",
        question_id=question.id,
        video_id=question.video_id,
        messages=messages,
        tools=tools,
        prediction=prediction,
        correct=question.is_right(prediction),
        status=status,
        visits=environment.visits,
        refused=len(environment.refusals),
        turns=turns,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        seconds=time.monotonic() - begun,
        error=error,
        lookups=environment.lookups,
    )


def _checked(reply: object) -> Reply:
    if not isinstance(reply, Reply):
        raise TypeError(f"a policy returns a Reply, not {type(reply).__name__}")
    if not isinstance(reply.message, dict) or reply.message.get("role") != "assistant":
        raise TypeError("a policy's message is a dict of role assistant")
    if not isinstance(reply.message.get("tool_calls") or [], (list, tuple)):
        raise TypeError("tool_calls is a list")
    return reply


def _execute(environment: NavigationEnvironment, calls: Sequence[object]) -> list[dict[str, Any]]:
    return [{"role": "tool", "name": name_of(call), "content": call_tool(environment, call)} for call in calls]


def name_of(call: object) -> str:
    """The tool that a message's call names, whatever stands there."""
    return str(_function(call).get("name"))


def call_tool(environment: NavigationEnvironment, call: object) -> str:
    """The reply to a call, the same wherever an episode is played: in an evaluation, a training or a conversation.

    A call that names no tool of the environment, or an argument that its tool does not take, is refused as any other
    bad call is; an argument that is left out reads as None.

    Args:
        environment: Where it is made.
        call: `{"function": {"name": …, "arguments": …}}`, the arguments as an object or as its JSON.

    Raises:
        Exception: what the answerer of `video_qa` raises.
    """
    name, arguments = name_of(call), _function(call).get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, or nested too deep
            arguments = None
    if name not in environment.tools:
        there = ", ".join(environment.tools[:-1]) + " and " * (len(environment.tools) > 1) + environment.tools[-1]
        return environment._refuse(f"Error: no tool {name[:40]!r}; there are {there}.")
    if not isinstance(arguments, dict):
        return environment._refuse(f"Error: {name} takes its arguments as a JSON object.")
    for given in arguments:
        if given not in ARGUMENTS[name]:
            return environment._refuse(f"Error: {name} takes {' and '.join(ARGUMENTS[name])}, not {str(given)[:40]!r}.")
    return getattr(environment, name)(*(arguments.get(argument) for argument in ARGUMENTS[name]))


def _function(call: object) -> Mapping[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    return function if isinstance(function, Mapping) else {}
