"""The released LongVideo-R1 data: SFT conversations in the tagged format, RL rows as questions."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_gen.teacher.protocol import Step, read_step
from navigation import InputError, Question, SkippedRow, answer_message, assistant_message

_ROLES = {"system": "system", "user": "user", "human": "user", "observation": "user", "tool": "user",
          "assistant": "assistant", "gpt": "assistant"}  # fmt: skip
_OPTION = re.compile(r"^\s*\(?[A-Z]\s*[).:]\s*")


def import_released_rl(
    rows: Iterable[Mapping[str, Any]], source: str = "longvideo-r1"
) -> Iterator[Question | SkippedRow]:
    """Questions of RL rows: `question, choices, right_answer, video_uid, clue_intervals, width, duration, fps`.

    `width` and `fps` belong to the caption tree and the video; they are not needed here. `right_answer` may be a letter
    or the option's text; `choices` a list, a mapping by letter, or either written as JSON.
    """
    for number, row in enumerate(rows):
        name = f"{source}/{row.get('id', row.get('uid', number))}"
        try:
            yield _rl_question(row, name, source)
        except (InputError, ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
            yield SkippedRow(name, "unusable row", str(error), row)


def _rl_question(row: Mapping[str, Any], name: str, source: str) -> Question:
    choices = _decoded(row["choices"])
    if isinstance(choices, Mapping):
        choices = [choices[letter] for letter in sorted(choices)]
    options = [_OPTION.sub("", str(choice)) for choice in choices]
    right = str(row["right_answer"]).strip()
    if len(right.strip("().")) == 1 and right.strip("().").upper().isalpha():
        letter = right.strip("().").upper()
    else:
        places = [index for index, option in enumerate(options) if option == _OPTION.sub("", right)]
        if len(places) != 1:
            raise InputError(name, "right_answer", right, "give a letter, or the text of exactly one option")
        letter = chr(ord("A") + places[0])
    clues = _decoded(row.get("clue_intervals") or [])
    record = {
        "id": name, "video_id": str(row["video_uid"]), "question": row["question"], "options": options,
        "answer": letter, "clue_intervals": clues, "duration": float(row["duration"]), "source": source,
    }  # fmt: skip
    return Question.from_dict(record, name)


def import_released_sft(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any] | SkippedRow]:
    """Conversations of released SFT rows (`messages` or `conversations`, tagged text) as `{"messages", "id"}`.

    Assistant turns become reasoning and tool calls, the user turns after calls become tool replies. A row is skipped,
    with its reason, if a turn cannot be read: half a conversation teaches a walk that nobody made.
    """
    for number, row in enumerate(rows):
        name = str(row.get("id", number))
        turns = row.get("messages") or row.get("conversations")
        if not isinstance(turns, list) or not turns:
            yield SkippedRow(name, "no conversation", "", row)
            continue
        messages: list[dict[str, Any]] = []
        waiting = ""
        problem = ""
        for turn in turns:
            role = _ROLES.get(str(turn.get("role") or turn.get("from")).lower(), "")
            text = turn.get("content") if turn.get("content") is not None else turn.get("value")
            if not role or not isinstance(text, str):
                problem = "unreadable turn"
                break
            if role == "assistant":
                step = read_step(text, 26)
                if not isinstance(step, Step):
                    problem = f"assistant turn: {step.reason}"
                    break
                if step.letter:
                    messages.append(answer_message(step.reasoning, step.letter))
                else:
                    messages.append(assistant_message(step.reasoning, calls=[(step.tool, dict(step.arguments or {}))]))
                waiting = step.tool
            elif waiting:
                messages.append({"role": "tool", "name": waiting, "content": text})
                waiting = ""
            else:
                messages.append({"role": role, "content": text})
        if not problem and messages[-1]["role"] != "assistant":
            problem = "the last turn is not the assistant's"
        yield (
            SkippedRow(name, problem.partition(":")[0], problem, row) if problem else {"id": name, "messages": messages}
        )


def _decoded(value: Any) -> Any:
    """A list or mapping, possibly written as JSON or as a Python literal (never evaluated)."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return ast.literal_eval(value)
