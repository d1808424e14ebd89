"""Who navigates: a model, a rule of the literature, or `descent`, the rule where no model is at hand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clipscout.ask.settings import POLICY_START, AskSettings
from evaluation.policies import make_policy, reader
from evaluation.policies.notes import Note, WordWeights, notes_read, statements_by_level, words_of
from navigation import GET_CAPTION, VIDEO_QA, InputError, Policy, Reply, SegmentPath, Task, TreeStore, assistant_message
from navigation.grid import format_path
from runtime import BudgetExceeded, Completion, Endpoint, EndpointDown, EndpointFailed, Unacceptable, Usage

SEARCHING = ("search_read", "hierarchy_search")
RULES = ("uniform", "random", "exhaustive", "best_first", "coarse_to_fine", "spotlight", *SEARCHING)
MODELS = ("local", "endpoint")
POLICIES = ("descent", *RULES, *MODELS)
_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
_OF_OPTIONS = 0.25
"""Weight of the options' words: the question says where to look, the options what may be there."""


@dataclass(frozen=True, kw_only=True)
class DescentPolicy(Policy):
    """Opens the parts of the segment that fits the question best, level by level, asks about the best leaf, answers.

    Fit is the share of the question's words (weighted by rarity among what was read) found in one caption. It knows
    words and no meaning: it shows the machinery, and it is a floor for models to beat. Unlike retrieval it needs no
    caption that it does not open.

    Args:
        seed: Settles ties of the answer.
        expansions: Segments whose parts are opened; default: one a level below the top, and one more to try another.
    """

    seed: int = 0
    expansions: int | None = None

    name = "descent"

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        notes = notes_read(task, messages)
        opened = {note.path for note in notes}
        calls = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
        expanded = {tuple(call["arguments"]["segment"])[:-1] for call in calls if call["name"] == GET_CAPTION}
        scores = fits(task, notes)
        most = self.expansions if self.expansions is not None else task.grid.depth
        closed = [path for path in opened if not task.grid.is_leaf(path) and path not in expanded]
        leaves = [path for path in opened if task.grid.is_leaf(path)]
        if not leaves and closed:
            # Down to leaves first: what was opened last is the deepest.
            deepest = max(map(len, closed))
            closed = [path for path in closed if len(path) == deepest]
        if closed and len(expanded) < most:
            best = max(closed, key=lambda path: (scores[path], [-child for child in path]))
            if not leaves or scores[best] > max(scores[path] for path in leaves):
                parts = [(*best, child) for child in range(1, task.grid.width + 1)]
                why = f"{format_path(best)} fits the question best so far ({scores[best]:.2f}); I open its parts."
                return Reply(assistant_message(why, calls=[(GET_CAPTION, {"segment": list(path)}) for path in parts]))
        if leaves and not any(call["name"] == VIDEO_QA for call in calls):
            best = max(leaves, key=lambda path: (scores[path], [-child for child in path]))
            why = f"{format_path(best)} is the leaf that fits best; I look into it."
            query = {"segment": list(best), "query": task.question.question}
            return Reply(assistant_message(why, calls=[(VIDEO_QA, query)]))
        return reader.answer(task, messages, self.seed)


def fits(task: Task, notes: Sequence[Note]) -> dict[SegmentPath, float]:
    """How well each segment read so far fits the question and its options, in [0, 1]."""
    statements = [each for level in statements_by_level(notes).values() for each in level]
    weights = WordWeights(statements)
    # What no caption says cannot tell segments apart.
    said = frozenset(word for statement in statements for word in statement.words)
    named = words_of(task.question.question) & said
    offered = words_of(" ".join(task.question.options)) & said
    scores: dict[SegmentPath, float] = {}
    for note in notes:
        words = words_of(note.text)
        score = (1 - _OF_OPTIONS) * _share(weights, named, words) + _OF_OPTIONS * _share(weights, offered, words)
        scores[note.path] = max(score, scores.get(note.path, 0.0))
    return scores


def _share(weights: WordWeights, wanted: frozenset[str], words: frozenset[str]) -> float:
    return weights.share(wanted, words) if wanted else 0.0


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
        self.usage = Usage()
        """Of all requests of this process, the failed ones included."""
        self._spent: dict[str, tuple[int, int]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        model = self.endpoint.settings.model
        return {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    async def chat(self, task: Task, messages: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
        """The reply as `{message, finish_reason}`. Raises EndpointFailed, EndpointDown or BudgetExceeded."""
        try:
            completion = await self.endpoint.chat(
                messages, self.max_tokens, _accept, temperature=self.temperature, **parameters
            )
        except (EndpointFailed, EndpointDown, BudgetExceeded) as error:
            self.usage += error.usage
            raise
        self.usage += completion.usage
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
    if not completion.text and not completion.message.get("tool_calls") and completion.finish_reason != "length":
        raise Unacceptable("an empty reply")


def choose_policy(settings: AskSettings) -> Policy:
    """The policy that `settings` name. `descent` is the rule where nothing else is said.

    Raises:
        InputError: an unknown name, or a part that the policy needs and that is not given.
    """
    if settings.policy not in POLICIES:
        raise InputError("ask", "--policy", settings.policy, f"give one of {', '.join(POLICIES)}")
    if settings.policy == "endpoint":
        server = settings.policy_server.endpoint_settings("policy")
        if server is None:
            hint = f"start the model, for example `{POLICY_START}`, and pass --url and --model"
            raise InputError("ask", "--url", "", hint)
        calls = LiveCalls(settings.endpoint(server), settings.temperature)
        return make_policy("endpoint", TreeStore("."), (), settings.seed, calls=calls)
    if settings.policy == "local":
        if not settings.checkpoint:
            hint = "give the folder or Hub name of a trained model, as `make sft` or `make rl` left it"
            raise InputError("ask", "--model", "", hint)
        return make_policy(
            "local", TreeStore("."), (), settings.seed, checkpoint=settings.checkpoint, temperature=settings.temperature
        )
    if settings.policy == "descent":
        return DescentPolicy(seed=settings.seed)
    return make_policy(settings.policy, TreeStore("."), (), settings.seed)
