"""The released LongVideo-R1 SFT and RL rows, as trajectories with tool calls and as questions."""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from longvideo_r1.turns import Turn, read_turn
from navigation import LETTERS, TOOLS, InputError, Question, SkippedRow, answer_message, assistant_message
from navigation.prompt import SYSTEM

_ROLES = dict.fromkeys(("user", "human", "observation", "tool"), "user")
_ROLES |= {"system": "system", "assistant": "assistant", "gpt": "assistant"}
SFT_COLUMNS = {"messages": "json_list", "tools": "json_list", "id": "text", "released_system": "text", "turns": "int"}


def import_released_sft(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any] | SkippedRow]:
    """Conversations of released SFT rows as rows of `SFT_COLUMNS`.

    A row is an Alpaca record (`system, instruction, input, output, history`), as LLaMA-Factory reads the released file,
    or holds `messages` or `conversations`. Assistant turns become reasoning and tool calls, the user turns after calls
    become tool replies. The system prompt, which explains the tagged format, gives way to ClipScout's and is kept as
    `released_system`. A row is skipped, with its reason, if a turn cannot be read: half a conversation teaches a
    trajectory that nobody made.
    """
    for number, row in enumerate(rows):
        name = str(row.get("id", number))
        turns = _turns(row)
        if not turns:
            yield SkippedRow(name, "no conversation", "", dict(row))
            continue
        messages, system, problem = _messages(turns)
        if problem:
            yield SkippedRow(name, problem.partition(":")[0], problem, dict(row))
        else:
            count = sum(message["role"] == "assistant" for message in messages)
            yield {"messages": messages, "tools": TOOLS, "id": name, "released_system": system, "turns": count}


def longest_only(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that are no beginning of another one, and of equal ones the first.

    The released file holds a trajectory once a turn, each row ending one turn later, because only a row's last turn was
    trained on. Trained on as whole conversations, first turns would count many times.
    """
    ends: list[str] = []
    inner: set[str] = set()
    for row in rows:
        digest = hashlib.sha256()
        at_turns = []
        for message in row["messages"]:
            digest.update(repr(sorted(message.items(), key=lambda item: item[0])).encode("utf-8", "surrogatepass"))
            if message["role"] == "assistant":
                at_turns.append(digest.hexdigest()[:32])
        ends.append(at_turns[-1])
        inner.update(at_turns[:-1])
    kept = []
    for row, end in zip(rows, ends, strict=True):
        if end not in inner:
            inner.add(end)
            kept.append(row)
    return kept


def _turns(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Role and text of each turn; roles as `_ROLES` names them, "" for an unknown one."""
    listed = row.get("messages") if row.get("messages") is not None else row.get("conversations")
    if isinstance(listed, list):
        return [_turn(turn) for turn in listed]
    if "instruction" not in row or "output" not in row:
        return []
    turns = [("system", row["system"])] if row.get("system") else []
    for pair in row.get("history") or ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            return [("", None)]
        turns += [("user", pair[0]), ("assistant", pair[1])]
    asked = f"{row['instruction']}\n{row['input']}" if row.get("input") else row["instruction"]
    return [*turns, ("user", asked), ("assistant", row["output"])]


def _turn(turn: object) -> tuple[str, Any]:
    if not isinstance(turn, Mapping):
        return "", None
    role = str(turn.get("role") or turn.get("from")).lower()
    return _ROLES.get(role, ""), turn.get("content") if turn.get("content") is not None else turn.get("value")


def _messages(turns: list[tuple[str, Any]]) -> tuple[list[dict[str, Any]], str, str]:
    """Messages, the system prompt they came with, and what is wrong with them or ""."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
    system, waiting = "", ""
    for role, text in turns:
        if not role or not isinstance(text, str):
            return [], "", "unreadable turn"
        if role == "system":
            system = text
        elif role == "user":
            reply = {"role": "tool", "name": waiting} if waiting else {"role": "user"}
            messages.append({**reply, "content": text})
            waiting = ""
        else:
            turn = read_turn(text, len(LETTERS))
            if not isinstance(turn, Turn):
                return [], "", f"assistant turn: {turn.reason}"
            if turn.letter:
                messages.append(answer_message(turn.reasoning, turn.letter))
            else:
                messages.append(assistant_message(turn.reasoning, calls=[(turn.tool, dict(turn.arguments or {}))]))
            waiting = turn.tool
    return messages, system, "" if messages[-1]["role"] == "assistant" else "the last turn is not the assistant's"


_OPTION = re.compile(r"^\s*\(?[A-Z]\s*[).:]\s*")


def import_released_rl(
    rows: Iterable[Mapping[str, Any]], source: str = "longvideo-r1"
) -> Iterator[Question | SkippedRow]:
    """Questions of RL rows: `question, choices, right_answer, video_uid, clue_intervals, width, duration, fps`.

    `width` and `fps` belong to the caption tree and the video, see `released_videos`. `right_answer` may be a letter
    or the option's text; `choices` a list, a mapping by letter, or either written as JSON.
    """
    for number, row in enumerate(rows):
        name = f"{source}/{row.get('id', row.get('uid', number))}"
        try:
            yield _rl_question(row, name, source)
        except (InputError, ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
            yield SkippedRow(name, "unusable row", str(error), row)


def released_videos(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What RL rows say about their videos, each video once: `video_id, width, duration, fps`."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.get("video_uid") is not None:
            video = str(row["video_uid"])
            found.setdefault(video, {"video_id": video, **{key: row.get(key) for key in ("width", "duration", "fps")}})
    return list(found.values())


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
    if letter in LETTERS[: len(options)] and options.count(options[LETTERS.index(letter)]) > 1:
        # The rule of every loader (data_gen.corpora.rows.letter_of).
        raise InputError(name, "choices", options, "give the right option once")
    clues = _decoded(row.get("clue_intervals") or [])
    record = {
        "id": name,
        "video_id": str(row["video_uid"]),
        "question": row["question"],
        "options": options,
        "answer": letter,
        "clue_intervals": clues,
        "duration": float(row["duration"]),
        "source": source,
    }
    return Question.from_dict(record, name)


def _decoded(value: Any) -> Any:
    """A list or mapping, possibly written as JSON or as a Python literal (never evaluated)."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return ast.literal_eval(value)
