"""One question from its text to its answer, told event by event."""

import secrets
from collections.abc import Sequence
from typing import Any

from clipscout.ask.answer import Answer, answer_of
from clipscout.ask.descent import DescentPolicy, Quoting
from clipscout.ask.live_calls import LiveCalls
from clipscout.ask.parts import POLICY_START, LimitReached, Parts
from clipscout.ask.subject import OneTree, Subject
from clipscout.ask.watched import Tell, WatchedEnvironment, WatchedPolicy
from evaluation.policies import make_policy
from evaluation.policies.endpoint import EndpointPolicy
from navigation import LETTERS, InputError, Limits, Policy, Question, Status, TreeStore, run
from runtime import EndpointDown, EndpointFailed, OutOfMoney, Usage

PLANNED, SEARCHING = ("uniform", "random", "exhaustive"), ("best_first", "coarse_to_fine", "spotlight")
POLICIES = ("descent", *PLANNED, *SEARCHING, "local", "endpoint")
LONGEST_QUESTION = 4000


def make_walker(parts: Parts) -> Policy:
    """The policy that `parts` name. `descent` is the rule where nothing else is said.

    Raises:
        InputError: an unknown name, or a part that the policy needs and that is not given.
    """
    if parts.policy not in POLICIES:
        raise InputError("ask", "--policy", parts.policy, f"give one of {', '.join(POLICIES)}")
    if parts.policy == "endpoint":
        settings = parts.policy_server.settings("policy")
        if settings is None:
            mend = f"start the model, for example `{POLICY_START}`, and pass --policy-url and --policy-model"
            raise InputError("ask", "--policy-url", "", mend)
        return EndpointPolicy(LiveCalls(parts.endpoint(settings), parts.temperature), parts.seed)
    if parts.policy == "local":
        if not parts.checkpoint:
            mend = "give the folder or Hub name of a trained model, as `make sft` or `make rl` left it"
            raise InputError("ask", "--checkpoint", "", mend)
        return make_policy(
            "local", TreeStore("."), (), parts.seed, checkpoint=parts.checkpoint, temperature=parts.temperature
        )
    if parts.policy == "descent":
        return DescentPolicy(seed=parts.seed)
    rule = make_policy(parts.policy, TreeStore("."), (), parts.seed)
    return Quoting(rule) if parts.policy in PLANNED else rule


def make_question(subject: Subject, text: str, options: Sequence[str] = ()) -> Question:
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
        f"ask/{secrets.token_hex(8)}", subject.tree.video_id, text, options, "", (), subject.tree.grid.duration, "ask"
    )


async def ask(subject: Subject, policy: Policy, question: Question, tell: Tell, limits: Limits | None = None) -> Answer:
    """Walks one question and tells `begin`, `thinking`, `turn`, `opening`, `opened`, `refused` and `answer` events.

    Raises:
        LimitReached: the next request may cost more than the limit on money leaves.
        InputError: the world is broken (a video that cannot be decoded), or the captions cannot be had.
    """
    if not question.options and policy.name in SEARCHING:
        mend = "this rule chooses among options: give some, or let `descent` or a model walk"
        raise InputError("ask", "options", [], mend)
    grid = subject.tree.grid
    before, made = subject.usage, _made(subject)
    begin: dict[str, Any] = {
        "type": "begin", "id": question.id, "video": subject.tree.video_id, "question": question.question,
        "options": list(question.options), "policy": policy.name, "duration": grid.duration, "width": grid.width,
        "depth": grid.depth,
    }  # fmt: skip
    tell(begin)
    try:
        await subject.prepare()
        tell({"type": "overview", "segments": [overview(subject, path) for path in grid.paths(1)]})
        environment = WatchedEnvironment(OneTree(subject), subject.answerer, tell=tell)
        watched = WatchedPolicy(policy, tell)
        trajectory = await run(watched, environment, question, limits)
        if watched.out_of_money is not None:
            raise watched.out_of_money
    except OutOfMoney as error:
        mend = "give a higher limit to go on; captions written so far are kept"
        raise LimitReached("ask", "--max-usd", str(error), mend) from None
    except (EndpointFailed, EndpointDown) as error:
        raise InputError(
            "ask",
            "captions or clips",
            str(error),
            "start the model that --caption-url and --clip-url name, and ask again",
        ) from None
    answer = answer_of(
        subject, question, trajectory, policy.name, environment.asked, _less(subject.usage, before),
        _made(subject) - made,
    )  # fmt: skip
    tell({"type": "answer", **answer.to_dict(messages=False)})
    if trajectory.status is Status.FAILED and isinstance(policy, EndpointPolicy):
        mend = f"start the model that --policy-url names, for example `{POLICY_START}`"
        raise InputError("ask", "policy", trajectory.error, mend)
    return answer


def overview(subject: Subject, path: tuple[int, ...]) -> dict[str, Any]:
    """One segment as events tell it."""
    start, end = subject.tree.grid.interval(path)
    return {"path": list(path), "start": start, "end": end, "caption": subject.known(path) or ""}


def _made(subject: Subject) -> int:
    """Captions written so far, by requests that were answered."""
    if subject.on_demand is None:
        return 0
    return subject.on_demand.usage.requests - subject.on_demand.usage.unanswered


def _less(after: Usage, before: Usage) -> Usage:
    return Usage(*(getattr(after, name) - getattr(before, name) for name in Usage.__dataclass_fields__))
