"""What may be asked about: files below the folders that the server was given, and nothing else."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_gen.frames import VIDEO_SUFFIXES
from data_gen.lines import SUFFIXES
from navigation import InputError

MOST = 50_000
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
    """Entries by key and by name.

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
        return path.stat().st_size < 1_000_000 and "segments" in json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
