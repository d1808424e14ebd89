"""The tagged text protocol of the released LongVideo-R1 checkpoints, so that they play under the same harness.

    <think>…</think><tool>get_caption((2,5))</tool>
    <think>…</think><tool>video_qa((2,5,1), "what colour is the car?")</tool>
    <think>…</think><answer>B</answer>

Such a model reads plain chat messages: its tools are words of the system prompt, their replies are user messages. Here
messages of the environment become those, and what it writes becomes a message of the environment.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from longvideo_r1.turns import LONGEST_TURN, read_call, split_turn
from navigation.grid import TimeGrid, clock, format_path
from navigation.policy import assistant_message
from navigation.prompt import split_prompt
from navigation.question import LETTERS
from navigation.tools import VIDEO_QA, parse_path

_FOLDER = resources.files("longvideo_r1")
LEVELS = {1: "High-level", 2: "Medium-level", 3: "Low-level"}


def tagged_system() -> str:
    """A system prompt that says the same as the released one; `{width}` stands for the grid's width.

    The checkpoints were trained under the released wording: give that text where results are to be compared.
    """
    return (_FOLDER / "tagged_system.txt").read_text(encoding="utf-8").strip()


def tagged_template() -> str:
    """The chat template: plain messages, every assistant turn ended once, its reasoning kept."""
    return (_FOLDER / "tagged.jinja").read_text(encoding="utf-8")


def to_tagged(messages: Sequence[dict[str, Any]], grid: TimeGrid, system: str | None = None) -> list[dict[str, Any]]:
    """A transcript of the environment as the model reads it.

    Args:
        messages: System message, the user's with the environment's first words, then assistant turns and tool replies.
        grid: The video's, for times and levels.
        system: The system prompt; default: `tagged_system()`.
    """
    plain = [{"role": "system", "content": (system or tagged_system()).replace("{width}", str(grid.width))}]
    calls: list[dict[str, Any]] = []
    for message in messages[1:]:
        if message["role"] == "assistant":
            calls = [call["function"] for call in message.get("tool_calls") or []]
            plain.append({"role": "assistant", "content": write_message(message)})
        elif message["role"] == "tool":
            call = calls.pop(0) if calls else {}
            plain.append({"role": "user", "content": _reply(message["content"], call, grid)})
        else:
            plain.append({"role": "user", "content": _opening(message["content"], grid)})
    return plain


_LETTER = re.compile(r" \(([A-Z])\)(?:\n|\Z)")


def _letters_first(question: str) -> str:
    """A question whose options stand as `text (B)`, with them as the released code has them: `B. text`."""
    found = list(_LETTER.finditer(question))
    first = max((number for number, each in enumerate(found) if each[1] == "A"), default=len(found))
    options = found[first:]
    if "".join(each[1] for each in options) != LETTERS[: len(options)] or not options:
        return question
    begins = [question.rfind("\n", 0, options[0].start()) + 1, *(each.end() for each in options)]
    lettered = (f"{each[1]}. {question[begin : each.start()]}" for begin, each in zip(begins, options, strict=False))
    return question[: begins[0]] + "\n".join(lettered)


def _opening(content: str, grid: TimeGrid) -> str:
    """Question, duration and the top-level captions, as the released code words them."""
    shown, question = split_prompt(content)
    if not question:
        return content
    lines = [_letters_first(question) + "\n", f"The total duration of the video is {grid.duration:.1f} seconds."]
    places = [(path, shown.find(f"\n{_heading(path, grid)}")) for path in grid.paths(1)]
    ends = [place for _, place in places[1:]] + [len(shown)]
    for (path, begin), end in zip(places, ends, strict=True):
        start, stop = grid.interval(path)
        caption = shown[begin + 1 + len(_heading(path, grid)) : end]
        lines.append(f"High-level Caption {path[0]} from {start:.1f} to {stop:.1f}:{_tagged(caption)}")
    return "\n".join(lines)


def _tagged(caption: str) -> str:
    """A caption as released files hold it and the released evaluation shows it."""
    return caption if "<caption>" in caption else f"<caption> {caption.strip()} </caption>"


def _heading(path: tuple[int, ...], grid: TimeGrid) -> str:
    start, stop = grid.interval(path)
    return f"{clock(start)}-{clock(stop)} {format_path(path)} "


def _reply(content: str, call: dict[str, Any], grid: TimeGrid) -> str:
    arguments = call.get("arguments")
    path = parse_path(arguments.get("segment")) if isinstance(arguments, dict) else None
    if content.startswith("Error:") or path is None or not grid.contains(path):
        return content
    if call.get("name") == VIDEO_QA:
        return f"<information>{content}</information>"
    start, stop = grid.interval(path)
    level = LEVELS.get(len(path), f"Level-{len(path)}")
    caption = content.removeprefix(_heading(path, grid))
    return f"{level} Caption from tool get_caption({_written(path)}). From {start:.1f} to {stop:.1f}:{_tagged(caption)}"


def write_message(message: dict[str, Any]) -> str:
    """An assistant message in tags."""
    text = f"<think>{message.get('reasoning_content') or ''}</think>"
    for call in message.get("tool_calls") or []:
        function = call["function"]
        arguments = function["arguments"] if isinstance(function["arguments"], dict) else {}
        path = _written(parse_path(arguments.get("segment")) or ())
        query = arguments.get("query")
        asked = "" if query is None else ', "' + str(query).replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{text}<tool>{function['name']}({path}{asked})</tool>"
    return text + (message.get("content") or "")


def _written(path: Sequence[int]) -> str:
    return "(" + ",".join(map(str, path)) + ("," if len(path) == 1 else "") + ")"


def read_message(text: str) -> dict[str, Any]:
    """What the model wrote, as an assistant message.

    The first call or answer after the reasoning counts. A turn with neither, or with a call that cannot be read, has no
    tool call and no answer: the episode ends as unparsable. Time is linear in the length, which is cut at 60,000.
    """
    reasoning, action, body, _ = split_turn(text[:LONGEST_TURN])
    if not action:
        return assistant_message(reasoning, body)
    if action == "answer":
        return assistant_message(reasoning, f"<answer>{body.strip()}</answer>")
    call = read_call(body)
    if call is None:
        return assistant_message(reasoning, f"<{action}>{body.strip()}")
    return assistant_message(reasoning, calls=[call])
