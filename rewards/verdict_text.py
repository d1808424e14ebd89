"""What a judge is sent and what it says: texts are enclosed so that none can speak, verdicts are read leniently."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from navigation import InputError
from rewards.answer import LABELS

LONGEST = 2000
"""Characters of a text that a judge is shown; a longer one is cut, and the cut is told."""
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "reason": {"type": "string"},
                "verdict": {"type": "string", "enum": list(LABELS)},
                "share": {"type": "number"},
            },
            "required": ["reason", "verdict", "share"],
            "additionalProperties": False,
        },
    },
}


def load_prompt(path: str | Path | None = None) -> str:
    """The judge's instructions, from a file or the project's own.

    Raises:
        InputError: no such file, or it lacks `{code}` or `{texts}`.
    """
    try:
        source = resources.files("rewards") / "judge_prompt.txt" if path is None else Path(path)
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(str(path), "judge prompt", str(error), "give a text file with {code} and {texts}") from None
    for field in ("{code}", "{texts}"):
        if field not in text:
            raise InputError(str(path), "judge prompt", field, "the prompt needs this: the texts stand there")
    return text


def render(prompt: str, question: str, references: Sequence[str], answer: str, vote: int = 0) -> str:
    """One request to a judge. Every second vote sees the answer before the references.

    The texts are JSON with every `<` and `>` escaped, so that none of them can close its tag or hold chat markup, and
    every invisible or direction sign too, so that nothing is hidden. The code depends on the texts: none can know it.
    """
    shown = {
        "question": _shown(question),
        "references": [_shown(reference) for reference in references],
        "answer": _shown(answer),
    }
    digest = hashlib.sha256(json.dumps([shown, vote]).encode("utf-8", "backslashreplace"))
    code = digest.hexdigest()[:8]
    order = ("question", "references", "answer") if vote % 2 == 0 else ("question", "answer", "references")
    blocks = [f"<{name} {code}>\n{_escaped(shown[name])}\n</{name} {code}>" for name in order]
    # The texts last: what they hold is never taken for a field of the prompt.
    before, _, after = prompt.strip().replace("{code}", code).partition("{texts}")
    return before + "\n\n".join(blocks) + after


def _shown(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} […{len(text) - 2 * half} characters cut…] {text[-half:]}"


def _escaped(value: Any) -> str:
    return "".join(
        "".join(f"\\u{unit:04x}" for unit in _units(sign)) if sign in "<>" or _hidden(sign) else sign
        for sign in json.dumps(value, ensure_ascii=False)
    )


def _hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def _units(sign: str) -> Sequence[int]:
    code = ord(sign)
    return (code,) if code < 0x10000 else (0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF))


_SAID = {
    "right": "right", "correct": "right", "partly": "partly", "partial": "partly", "partially_right": "partly",
    "partially_correct": "partly", "partly_right": "partly", "wrong": "wrong", "incorrect": "wrong",
    "cannot_tell": "cannot_tell", "can_not_tell": "cannot_tell", "can't_tell": "cannot_tell",
}  # fmt: skip
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_WORD = re.compile(r"(?:verdict\s*[:=]\s*)?([a-z]+(?:[ _'-][a-z]+){0,2})", re.IGNORECASE)
_PARTS = 200


def read_verdict(text: str, answer: str = "") -> tuple[str, float | None] | None:
    """A judge's label and share, or None where what it says is not certain.

    Read are one JSON object, bare, fenced or among prose, or a label alone. Two objects that differ say nothing, nor
    does an object that the judge may have quoted from the answer, nor prose: "not right" holds the word right.

    Args:
        text: The judge's reply.
        answer: What it judged.
    """
    said = text[-20_000:]
    if "think>" not in answer:  # else the judge may quote it, and what follows would not be its own
        _, thought, said = said.rpartition("</think>")
        if not thought and "<think>" in said:
            return None
    said = said.strip()
    if fenced := _FENCE.fullmatch(said):
        said = fenced.group(1)
    try:
        whole = json.loads(said, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        return _read(whole)
    quoted = [_read(each) for each in _objects(answer)]
    found = {_read(each) for each in _objects(said) if _read(each) not in quoted}
    if found:
        return found.pop() if len(found) == 1 else None
    word = _WORD.fullmatch(said.strip(" \n*_\"'`.!"))
    label = _label(word.group(1)) if word and "{" not in said else None
    return None if label is None else (label, _share(label, None))


def _objects(text: str) -> list[dict[str, Any]]:
    """JSON objects in a text that hold a verdict."""
    decoder, found, place = json.JSONDecoder(object_pairs_hook=_once), [], 0
    for _ in range(_PARTS):
        place = text.find("{", place)
        if place < 0:
            break
        try:
            record, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if isinstance(record, dict) and "verdict" in record:
            found.append(record)
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key stands twice")
    return record


def _read(record: dict[str, Any]) -> tuple[str, float | None] | None:
    label = _label(record.get("verdict"))
    share = record.get("share")
    if label is None or (share is not None and (isinstance(share, bool) or not isinstance(share, (int, float)))):
        return None
    try:
        return label, _share(label, share)
    except ValueError:
        return None


def _label(value: object) -> str | None:
    return _SAID.get(re.sub(r"[\s_-]+", "_", value.strip().lower())) if isinstance(value, str) else None


def _share(label: str, share: float | None) -> float | None:
    """The share that goes with a label.

    Raises:
        ValueError: the judge said two things at once.
    """
    if label == "partly":
        if share is not None and not 0 < share < 1:
            raise ValueError("partly is a share between 0 and 1")
        return 0.5 if share is None else float(share)
    if label == "cannot_tell":
        return None
    expected = float(label == "right")
    if share is not None and not abs(share - expected) < 0.5:
        raise ValueError("label and share differ")
    return expected
