"""Whatever picks the next message: the interface that models, endpoints and rules share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from navigation.grid import TimeGrid
from navigation.prompt import without_markup
from navigation.question import PublicQuestion
from navigation.search import SearchSettings


@dataclass(frozen=True, slots=True)
class Task:
    """What a policy knows when an episode begins: no answer, no clue intervals.

    `messages` holds the rendered prompt; `question` and `grid` say the same in a form that rules need not parse.
    """

    question: PublicQuestion
    grid: TimeGrid
    messages: tuple[dict[str, Any], ...]
    tools: Sequence[dict[str, Any]]
    sample: int = 0
    """Which of several attempts at the question this is; seeds what is random."""


@dataclass(slots=True)
class Reply:
    """One assistant message, what it took, and whether a token limit cut it."""

    message: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: bool = False


class Replies(Protocol):
    """What an episode needs of whoever plays it."""

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply: ...


class RequestFailed(Exception):
    """A request that the episode needed was not answered: it has no outcome, and is played again."""


class PromptTooLong(Exception):
    """The transcript no longer fits the model's context: the episode ends as `out_of_tokens`."""


class ContentRefused(Exception):
    """A provider refused the transcript, or cut the reply, for its content: the episode ends as `filtered`."""


class Policy(ABC):
    """Answers a transcript with the next assistant message.

    `reply` may be called for many episodes at once; what an episode needs to remember, it reads from `messages`. The
    other members tell an evaluation about the policy; their defaults are those of one that runs on its own.
    """

    name: str

    @abstractmethod
    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        """The next assistant message.

        Raises:
            PromptTooLong, ContentRefused: the episode ends so.
            RequestFailed: the episode has no outcome; `run` raises it too.
            Exception: any other ends the episode as `failed`.
        """

    @property
    def settings(self) -> Mapping[str, Any]:
        """What tells this policy from another of its name; written beside its results."""
        return {}

    @property
    def stopped(self) -> str:
        """Why no episode can be played any more (a budget is exceeded, say); empty while it can."""
        return ""

    @property
    def trained_tools(self) -> tuple[str, ...] | None:
        """The tools that it was trained with, which its prompt must have; None for one that reads what it is shown."""
        return None

    @property
    def trained_search(self) -> SearchSettings | None:
        """The search that it was trained with; None: without one, or it is not known."""
        return None

    @property
    def needed_tools(self) -> tuple[str, ...]:
        """Tools without which it cannot play, besides `get_caption` and `video_qa`."""
        return ()

    @property
    def reads_overview(self) -> bool:
        """Whether it uses the top-level captions that the prompt shows."""
        return True

    def index_captions(self, video_id: str) -> int | None:
        """How many captions of a video must exist before its first question; None for a policy without an index."""
        return None

    def account(self, trajectory_id: str) -> Mapping[str, Any] | None:
        """Model calls and USD of a whole episode, once it has ended; None for a policy that pays for no calls."""
        return None


def assistant_message(
    reasoning: str, content: str = "", calls: Sequence[tuple[str, dict[str, Any]]] = ()
) -> dict[str, Any]:
    """An assistant turn in the Hugging Face conversational shape, reasoning kept.

    Reasoning and arguments often quote questions and captions, so they lose their markup as those do. `content` is kept
    as it is: it holds the answer tag.
    """
    message: dict[str, Any] = {"role": "assistant", "reasoning_content": without_markup(reasoning), "content": content}
    if calls:
        message["tool_calls"] = [
            {"type": "function", "function": {"name": name, "arguments": _plain(arguments)}}
            for name, arguments in calls
        ]
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return without_markup(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def answer_message(reasoning: str, answer: str) -> dict[str, Any]:
    """The last turn: reasoning and `<answer>…</answer>`, a letter or words."""
    return assistant_message(reasoning, f"<answer>{without_markup(answer)}</answer>")
