"""What may be asked about: files below the folders that the server was given, and nothing else."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from data_gen.frames import VIDEO_SUFFIXES
from data_gen.lines import SUFFIXES
from navigation import InputError, Question, read_questions

MOST = 50_000
EXAMPLES = 5
QUESTIONS = "questions.jsonl"
_TREE_KEYS = (b'"video_id"', b'"video_name"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. Clients name it by `key` or `name`; neither ever becomes a path.

    Args:
        key: Hash of its path.
        name: Path below its folder without the suffix.
        kind: `video`, `subtitles` or `tree`.
        root: The folder (or file) it was found by, resolved.
    """

    key: str
    name: str
    kind: str
    path: Path
    root: Path

    def checked(self) -> Path:
        """The file to open.

        Raises:
            InputError: it is gone, or leads out of its folder by now.
        """
        path = self.path.resolve()
        if not path.is_file() or not (path == self.root or path.is_relative_to(self.root)):
            raise InputError("serve", "video", self.name, "it is no longer in its folder: start the server again")
        return path


class Library:
    """Entries by key and by name; how long they are, and questions about them, where their folders hold some.

    Args:
        sources: Folders and files, as given on the command line.

    Raises:
        InputError: one of them does not exist, or there is nothing to ask about in them.
    """

    def __init__(self, sources: Sequence[Path]) -> None:
        entries: dict[Path, Entry] = {}
        for source in sources:
            for entry in _find(Path(source)):
                entries.setdefault(entry.path.resolve(), entry)
                if len(entries) > MOST:
                    raise InputError("serve", "sources", str(source), f"more than {MOST} files: give fewer folders")
        if not entries:
            shown = ", ".join(map(str, sources))
            raise InputError("serve", "sources", shown, "give folders with videos, SRT or VTT files, or caption trees")
        self.entries = sorted(entries.values(), key=lambda entry: (entry.name, entry.kind))
        self._by_key = {entry.key: entry for entry in self.entries}
        self._durations: dict[str, float | None] = {}
        self._examples: dict[Path, dict[str, list[Question]]] = {}

    def get(self, asked: str) -> Entry:
        """The entry of a key or name; a name's last part will do if no other has it.

        Raises:
            InputError: none, or several.
        """
        if asked in self._by_key:
            return self._by_key[asked]
        found = [entry for entry in self.entries if entry.name == asked]
        if not found:
            found = [entry for entry in self.entries if entry.name.rpartition("/")[2] == asked]
        if len(found) != 1:
            what = "there is none of this name" if not found else "several have this name: give the key"
            raise InputError("serve", "video", asked[:200], f"{what}; /v1/models lists them")
        return found[0]

    def find(self, text: str, limit: int) -> tuple[list[Entry], int]:
        """The first entries whose name holds `text`, and how many do."""
        wanted = text.casefold()
        found = [entry for entry in self.entries if wanted in entry.name.casefold()]
        return found[:limit], len(found)

    def duration(self, entry: Entry) -> float | None:
        """Seconds, read from the file's head or tail once; None where it does not say."""
        if entry.key not in self._durations:
            try:
                self._durations[entry.key] = _DURATIONS[entry.kind](entry.checked())
            except (OSError, InputError, av.FFmpegError):  # opening it will say what is wrong with it
                self._durations[entry.key] = None
        return self._durations[entry.key]

    def examples(self, entry: Entry) -> list[Question]:
        """The first questions about an entry in the nearest `questions.jsonl` above it that is in its folder."""
        if entry.root.is_file():
            return []
        video = entry.name.rpartition("/")[2]
        for folder in entry.path.parents:
            if (folder / QUESTIONS).resolve().is_relative_to(entry.root) and (folder / QUESTIONS).is_file():
                return self._of_file(folder / QUESTIONS).get(video, [])
            if folder.resolve() == entry.root:
                break
        return []

    def _of_file(self, path: Path) -> dict[str, list[Question]]:
        if path not in self._examples:
            found: dict[str, list[Question]] = {}
            for question in read_questions(path):
                of_video = found.setdefault(question.video_id, [])
                if len(of_video) < EXAMPLES:
                    of_video.append(question)
            self._examples[path] = found
        return self._examples[path]


def _of_video(path: Path) -> float | None:
    with av.open(str(path)) as container:
        return container.duration / av.time_base if container.duration else None


def _of_tree(path: Path) -> float | None:
    with open(path, "rb") as file:
        head = file.read(4096)
    found = re.search(rb'"duration":\s*([0-9.]{1,20})', head)
    return float(found[1]) if found else None


def _of_subtitles(path: Path) -> float | None:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        ends = re.findall(rb"-->\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{3})", file.read())
    if not ends:
        return None
    hours, minutes, seconds, thousandths = (int(part or 0) for part in ends[-1])
    return 3600 * hours + 60 * minutes + seconds + thousandths / 1000


_DURATIONS = {"video": _of_video, "tree": _of_tree, "subtitles": _of_subtitles}


def _find(source: Path) -> Iterator[Entry]:
    root = source.resolve()
    if root.is_file():
        kind = _kind(root)
        if kind is None:
            raise InputError("serve", "source", str(source), "give a video, an SRT or VTT file, or a caption tree")
        yield _entry(root, root.stem, kind, root)
        return
    if not root.is_dir():
        raise InputError("serve", "source", str(source), "give a folder or file that exists")
    files = sorted(path for path in root.rglob("*") if not _hidden(path.relative_to(root)) and path.is_file())
    videos = {path.with_suffix("") for path in files if path.suffix.lower() in VIDEO_SUFFIXES}
    for path in files:
        # A link may lead anywhere: only what lies in the folder itself counts.
        if not path.resolve().is_relative_to(root):
            continue
        kind = _kind(path)
        beside_video = kind == "subtitles" and any(
            base in videos for base in (path.with_suffix(""), path.with_suffix("").with_suffix(""))
        )
        if kind is not None and not beside_video:
            yield _entry(path, path.relative_to(root).with_suffix("").as_posix(), kind, root)


def _entry(path: Path, name: str, kind: str, root: Path) -> Entry:
    key = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    # A name on disk need not be text: what is not is replaced, and the key still finds it.
    return Entry(key, name.encode("utf-8", "replace").decode(), kind, path, root)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in SUFFIXES:
        return "subtitles"
    return "tree" if suffix == ".json" and _is_tree(path) else None


def _is_tree(path: Path) -> bool:
    """Whether a JSON file looks like a caption tree or a released caption file, from its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        if not head.lstrip().startswith(b"{"):
            return False
        if any(key in head for key in _TREE_KEYS):
            return True
        return path.stat().st_size < 1_000_000 and isinstance(json.loads(path.read_bytes()).get("segments"), list)
    except (OSError, ValueError, RecursionError):
        return False
