"""Keeps benchmark questions and videos out of training data."""

import re
from collections.abc import Iterable
from pathlib import Path

from navigation import InputError, Question
from navigation.files import read_line

_WORD = re.compile(r"\w+")
SHINGLE = 8


class Blocklist:
    """Benchmark questions and videos that must not be trained on.

    A question is blocked if its video is listed, if its words without case and punctuation equal those of a listed
    question, or if at least `overlap` of its runs of eight words stand in one listed question. A question with fewer
    than eight words can only be equal. Short texts that many videos share ("What happens next?") would block much, so
    equal texts need equal options too where the list gives options.

    Args:
        videos: Video ids.
        questions: Texts, or `(text, options)`.
        overlap: Share of shingles, above 0 to 1.
    """

    def __init__(
        self, videos: Iterable[str] = (), questions: Iterable[tuple[str, tuple[str, ...]]] = (), overlap: float = 0.6
    ) -> None:
        self.videos = frozenset(videos)
        self.overlap = overlap
        self._equal: dict[str, list[frozenset[str]]] = {}
        self._shingles: dict[tuple[str, ...], list[int]] = {}
        self.count = 0
        for number, (text, options) in enumerate(questions):
            words = _words(text)
            self._equal.setdefault(" ".join(words), []).append(frozenset(map(_normal, options)))
            for shingle in _runs(words):
                self._shingles.setdefault(shingle, []).append(number)
            self.count += 1

    @classmethod
    def load(cls, paths: Iterable[str | Path], overlap: float = 0.6) -> "Blocklist":
        """Reads JSONL files of objects with `video_id` (or `video`), `question` and `options` (or `candidates`), each
        optional; or text files with one video id a line.

        Raises:
            InputError: no such file, or an object with neither a video nor a question.
        """
        videos: list[str] = []
        questions: list[tuple[str, tuple[str, ...]]] = []
        for path in map(Path, paths):
            if not path.exists() or path.is_dir():
                raise InputError("decontamination", "file", str(path), "give a JSONL file, or a text of video ids")
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if not line.strip():
                    continue
                if not line.lstrip().startswith("{"):
                    videos.append(line.strip())
                    continue
                row = read_line(line.encode(), f"{path}:{number}")
                video = row.get("video_id") or row.get("video")
                if not video and not row.get("question"):
                    raise InputError(f"{path}:{number}", "row", line[:60], "give a video_id, a question, or both")
                if video:
                    videos.append(str(video))
                if row.get("question"):
                    options = row.get("options") or row.get("candidates") or ()
                    questions.append((str(row["question"]), tuple(map(str, options))))
        return cls(videos, questions, overlap)

    def reason(self, question: Question) -> str:
        """Why a question is blocked: `video`, `question`, `overlap`, or "" if it is not."""
        if question.video_id in self.videos:
            return "video"
        words = _words(question.question)
        own = frozenset(map(_normal, question.options))
        for options in self._equal.get(" ".join(words), ()):
            if not options or not own or options == own:
                return "question"
        runs = _runs(words)
        counts: dict[int, int] = {}
        for shingle in runs:
            for number in self._shingles.get(shingle, ()):
                counts[number] = counts.get(number, 0) + 1
        if runs and max(counts.values(), default=0) >= self.overlap * len(runs):
            return "overlap"
        return ""


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _normal(text: str) -> str:
    return " ".join(_words(text))


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}
