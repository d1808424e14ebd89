"""The world every stage shares: time grid, caption trees, tools, environment, episode loop, chat protocol."""

from navigation.answer import read_answer
from navigation.caption_tree import ANNOTATION, SCREEN, SPEECH, CaptionTree, Line, TreeStore
from navigation.environment import EnvironmentFactory, NavigationEnvironment, SearchEnvironment
from navigation.episode import Limits, run
from navigation.errors import InputError, did_you_mean
from navigation.files import read_jsonl, write_atomic, write_json, write_jsonl
from navigation.grid import SegmentPath, TimeGrid, default_width
from navigation.policy import (
    ContentRefused,
    Policy,
    PromptTooLong,
    Reply,
    RequestFailed,
    Task,
    answer_message,
    assistant_message,
)
from navigation.prompt import initial_messages, question_text, split_prompt, without_markup
from navigation.question import LETTERS, PublicQuestion, Question, SkippedRow, read_questions
from navigation.search import Search, SearchSettings
from navigation.status import Status, read_outcome
from navigation.tools import (
    DEFAULT_TOOLS,
    GET_CAPTION,
    JUMP,
    SEARCH,
    TOOLS,
    VIDEO_QA,
    ClipAnswerer,
    LineAnswerer,
    read_tools,
    tool_schemas,
)
from navigation.trajectory import Lookup, Trajectory, Visit, read_trajectories, repeats

__all__ = [
    "ANNOTATION",
    "DEFAULT_TOOLS",
    "GET_CAPTION",
    "JUMP",
    "LETTERS",
    "SCREEN",
    "SEARCH",
    "SPEECH",
    "TOOLS",
    "VIDEO_QA",
    "CaptionTree",
    "ClipAnswerer",
    "ContentRefused",
    "EnvironmentFactory",
    "InputError",
    "Limits",
    "Line",
    "LineAnswerer",
    "Lookup",
    "NavigationEnvironment",
    "Policy",
    "PromptTooLong",
    "PublicQuestion",
    "Question",
    "Reply",
    "RequestFailed",
    "Search",
    "SearchEnvironment",
    "SearchSettings",
    "SegmentPath",
    "SkippedRow",
    "Status",
    "Task",
    "TimeGrid",
    "Trajectory",
    "TreeStore",
    "Visit",
    "answer_message",
    "assistant_message",
    "default_width",
    "did_you_mean",
    "initial_messages",
    "question_text",
    "read_answer",
    "read_jsonl",
    "read_outcome",
    "read_questions",
    "read_tools",
    "read_trajectories",
    "repeats",
    "run",
    "split_prompt",
    "tool_schemas",
    "without_markup",
    "write_atomic",
    "write_json",
    "write_jsonl",
]  # fmt: skip
