"""Whether a folder's questions and captions are still those that its walks were made from."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from navigation import InputError, Question, TreeStore, write_json

_NAMED = 5


def keep_corpus(path: Path, folder: Path, questions: Iterable[Question], trees: TreeStore) -> None:
    """Remembers a digest of every question and tree; refuses a corpus in which a remembered one has changed.

    Questions and trees may be added and taken away: the walks of the others stay what they are.

    Args:
        path: Where digests are kept between runs.
        folder: For the message.
        questions: Of this run.
        trees: Their caption trees; missing ones are left out.

    Raises:
        InputError: a question or tree differs from the one of an earlier run; the message names the first ones.
    """
    now: dict[str, dict[str, str]] = {"questions": {}, "trees": {}}
    for question in questions:
        now["questions"][question.id] = _digest(json.dumps(question.to_dict(), sort_keys=True).encode())
        if question.video_id not in now["trees"] and question.video_id in trees:
            now["trees"][question.video_id] = _digest(trees.path(question.video_id).read_bytes())
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"questions": {}, "trees": {}}
    for kind, digests in now.items():
        changed = [name for name, digest in digests.items() if before[kind].get(name, digest) != digest]
        if changed:
            named = ", ".join(changed[:_NAMED]) + (", …" if len(changed) > _NAMED else "")
            mend = "walks were made from other ones: write the changed corpus to another folder, or delete .run/teacher"
            raise InputError(folder, kind, f"{len(changed)} changed: {named}", mend)
    merged = {kind: before[kind] | now[kind] for kind in now}
    if merged != before:
        write_json(path, merged)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
