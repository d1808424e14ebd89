"""The world every stage shares: time grid, caption trees, tools, environment, episode loop, chat protocol."""

from navigation.answer import read_answer
from navigation.caption_tree import ANNOTATION, SCREEN, SPEECH, CaptionTree, Line, TreeStore
from navigation.environment import EnvironmentFactory, NavigationEnvironment
from navigation.episode import Limits, run
from navigation.errors import InputError
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
from navigation.status import Status, read_outcome
from navigation.tools import GET_CAPTION, TOOLS, VIDEO_QA, ClipAnswerer, LineAnswerer
from navigation.trajectory import Trajectory, Visit, read_trajectories, repeats

__all__ = [
    "ANNOTATION",
    "GET_CAPTION",
    "LETTERS",
    "SCREEN",
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
    "NavigationEnvironment",
    "Policy",
    "PromptTooLong",
    "PublicQuestion",
    "Question",
    "Reply",
    "RequestFailed",
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
    "initial_messages",
    "question_text",
    "read_answer",
    "read_jsonl",
    "read_outcome",
    "read_questions",
    "read_trajectories",
    "repeats",
    "run",
    "split_prompt",
    "without_markup",
    "write_atomic",
    "write_json",
    "write_jsonl",
]  # fmt: skip
