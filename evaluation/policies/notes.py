"""What a policy has read so far, taken back from the transcript."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from navigation import GET_CAPTION, VIDEO_QA, SegmentPath, Task, initial_messages
from navigation.prompt import caption_line
from navigation.tools import parse_path


@dataclass(frozen=True, slots=True)
class Note:
    """One text about one segment: its caption, or what `video_qa` said of it. Times in seconds, from the grid."""

    path: SegmentPath
    start: float
    end: float
    text: str


def overview(task: Task) -> list[Note]:
    """The top-level captions that the prompt shows to everyone, in time order."""
    question = initial_messages(task.question)[-1]["content"]
    shown = task.messages[-1]["content"].removeprefix(question)
    notes: list[Note] = []
    rest = shown
    for path in reversed(list(task.grid.paths(1))):
        rest, found, text = rest.rpartition("\n" + caption_line(task.grid, path, ""))
        if not found:
            return []
        notes.append(Note(path, *task.grid.interval(path), text))
    return notes[::-1]


def notes_read(task: Task, messages: Sequence[dict[str, Any]]) -> list[Note]:
    """Top-level captions and every tool reply so far that is not a refusal, in the order they were read."""
    notes = overview(task)
    calls: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant":
            calls = list(message.get("tool_calls") or ())
        elif message["role"] == "tool" and calls:
            note = _note(task, calls.pop(0)["function"], message["content"])
            if note is not None:
                notes.append(note)
    return notes


def _note(task: Task, call: dict[str, Any], reply: str) -> Note | None:
    arguments = call.get("arguments")
    path = parse_path(arguments.get("segment")) if isinstance(arguments, dict) else None
    if path is None or not task.grid.contains(path):
        return None
    start, end = task.grid.interval(path)
    if call["name"] == GET_CAPTION:
        header = caption_line(task.grid, path, "")
        return Note(path, start, end, reply.removeprefix(header)) if reply.startswith(header) else None
    if call["name"] == VIDEO_QA and not reply.startswith("Error: "):
        return Note(path, start, end, reply)
    return None
