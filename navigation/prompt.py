"""What a policy is told before its first turn, and the chat template that makes text of it: one wording everywhere."""

import hashlib
import json
import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from navigation.caption_tree import CaptionTree
from navigation.grid import SegmentPath, TimeGrid, clock, format_path
from navigation.question import LETTERS, PublicQuestion, Question
from navigation.tools import DEFAULT_TOOLS, GET_CAPTION, JUMP, SEARCH, VIDEO_QA, tool_schemas

_FOLDER = resources.files("navigation") / "chat_templates"


def chat_template() -> str:
    """The Jinja chat template that every checkpoint carries."""
    return (_FOLDER / "qwen3.jinja").read_text(encoding="utf-8")


def response_template() -> dict[str, Any]:
    """How `tokenizer.parse_response` reads reasoning, tool calls and content back from generated text."""
    return json.loads((_FOLDER / "qwen3_response.json").read_text(encoding="utf-8"))


FORMER_TEMPLATES = {
    "548b0a2777b4": "tools were shown with what they return, the question before the video",  # pragma: allowlist secret
    "b86a9ccc4d93": "an option's letter stood before its text",  # pragma: allowlist secret
}
"""Hashes of templates that checkpoints may still carry, and what prompts were like then: `clipscout migrate`."""


def template_hash(template: str) -> str:
    """Short fingerprint of a chat template, for run records and for the check at load."""
    return hashlib.sha256(template.encode()).hexdigest()[:12]


def prompt_hash(tools: Iterable[str] = DEFAULT_TOOLS, any_open: bool = False) -> str:
    """Fingerprint of what the template shows besides the video and the question: system message and tool schemas.

    Args:
        tools: Of the episodes.
        any_open: Whether questions without options are among them, which have a system message of their own.
    """
    tools = tuple(tools)
    system = system_prompt(tools) + (system_prompt(tools, is_open=True) if any_open else "")
    return hashlib.sha256((system + json.dumps(tool_schemas(tools), sort_keys=True)).encode()).hexdigest()


def told_tools(tools: Iterable[str]) -> dict[str, Any]:
    """What a record says of an episode's tools; nothing where they are the default ones."""
    chosen = tuple(tools)
    return {} if chosen == DEFAULT_TOOLS else {"tools": list(chosen), "prompt": prompt_hash(chosen)[:12]}


# Wide on purpose: `<|im_end|>` and `<tool_call>` of Qwen3, `<start_of_turn>`, `</s>` and `<｜…｜>` of others.
# Keeps texts that come from data from being read as chat markup.
#
# A chat template pastes messages into one text, and a tokenizer turns `<|im_end|>`, `</think>` or `<tool_response>` in
# that text into control tokens, whoever wrote them: a caption could end the user's turn and speak as the assistant.
# Everything the prompt and the environment say passes through here once, so nothing behind them needs to know.
_OPENING = re.compile(r"<(?=[|｜/]|[^\W\d])")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def without_markup(text: str) -> str:
    """The same text with a space after every `<` that could begin a tag or a control token.

    `a < b` and `<3` stay as they are. A half of a surrogate pair, which no tokenizer takes, becomes U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", _OPENING.sub("< ", text))


_TOOLS_IN_WORDS = {
    GET_CAPTION: "get_caption opens one segment",
    VIDEO_QA: "video_qa asks about a segment of the last level whose caption you have read",
    SEARCH: "search looks words up and names the segments that hold them",
    JUMP: "jump names the segment of the last level at a time",
}
_ANSWER_IN_WORDS = "<answer>the answer in a few words</answer>. Write times as 1:20, spans as 1:20-2:05."


def system_prompt(tools: Iterable[str] = DEFAULT_TOOLS, is_open: bool = False) -> str:
    """The system message of an episode with these tools; `is_open` where the question has no options."""
    chosen = set(tools)
    return (
        f"You answer a {'' if is_open else 'multiple-choice '}question about a video by navigating its caption tree. "
        "Every segment splits into equal parts, numbered from 1: [2] is on the top level, [2, 5] is its fifth part. "
        + "; ".join(words for name, words in _TOOLS_IN_WORDS.items() if name in chosen)
        + ". Open as few segments as you can. Think before each step, and stop as soon as you know: end with "
        + (_ANSWER_IN_WORDS if is_open else "<answer>LETTER</answer>.")
    )


SYSTEM = system_prompt()
_QUESTION = "\n\nQuestion: "


def initial_messages(
    question: Question | PublicQuestion, tree: CaptionTree, tools: Iterable[str] = DEFAULT_TOOLS
) -> list[dict[str, Any]]:
    """The prompt: system message, then one user message, in which the video comes before the question.

    So all questions on a video share the prompt up to the question: a server's prefix cache, or a paid endpoint's,
    holds it once. Nothing is appended by `NavigationEnvironment.reset`.
    """
    return [
        {"role": "system", "content": system_prompt(tools, not question.options)},
        {"role": "user", "content": f"{describe(tree)}{_QUESTION}{question_text(question)}"},
    ]


def question_text(question: Question | PublicQuestion) -> str:
    """A question and its options, if it has any, each with its letter behind it: `peels the potatoes (B)`.

    Who has found an option's text goes on to its letter: a small model copies what stands behind what it has just
    copied, and with `B. peels the potatoes` that is the next option's letter.
    """
    options = (f"{option} ({letter})" for letter, option in zip(LETTERS, question.options, strict=False))
    return without_markup("\n".join((question.question, *options)))


def split_prompt(content: str) -> tuple[str, str]:
    """A prompt's user message as the description of the video and the question's text, "" if there is none."""
    shown, found, asked = content.rpartition(_QUESTION)
    return (shown, asked) if found else (content, "")


def former_prompt(content: str) -> str:
    """What a prompt's user message of a former version has otherwise than this one; "" for one of today."""
    asked = split_prompt(content)[1]
    if not asked and re.search(r"\n\nThe video lasts [\d:]+\. Its tree has ", content):
        return "the question before the video"
    last = re.fullmatch(r"([B-Z])\. .*", asked.rpartition("\n")[2])
    if last and "\nA. " in asked and not last[0].endswith(f" ({last[1]})"):
        return "an option's letter before its text"
    return ""


def describe(tree: CaptionTree) -> str:
    """The tree's shape and the captions of its top level."""
    grid = tree.grid
    shape = f"Its tree has {grid.depth} levels; segments split into {grid.width}."
    lines = (caption_line(grid, path, tree.captions.get(path, "")) for path in tree.top_level)
    return f"The video lasts {clock(grid.duration)}. {shape}\n" + "\n".join(lines)


def caption_line(grid: TimeGrid, path: SegmentPath, caption: str) -> str:
    """One segment as policies read it: `3:12-4:16 [2, 5] caption`."""
    start, end = grid.interval(path)
    return without_markup(f"{clock(start)}-{clock(end)} {format_path(path)} {caption}")
