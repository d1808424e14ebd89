"""`clipscout search`: which videos of a folder of caption trees, and where in them, speak of something.

All trees are in one SQLite file with a full-text index (FTS5) that takes new, changed and removed trees one by one;
what a video's own index is made of, and what `search` as an episode's tool ranks, is `navigation.search`.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Self

import typer

from clipscout.tree import plain
from navigation import CaptionTree, InputError
from navigation.caption_tree import KINDS
from navigation.grid import clock, format_path
from navigation.search import (
    LONGEST_QUERY,
    SOURCES,
    Passage,
    SearchSettings,
    distinct,
    made_by,
    passages_key,
)
from navigation.words import snippet, terms

FILE = "search.sqlite"
_APPLICATION, _VERSION = 0x434C5343, 1
_AT_ONCE = 64
"""Trees of one transaction."""
_SCHEMA = """
    TABLE IF NOT EXISTS videos
        (id INTEGER PRIMARY KEY, file TEXT UNIQUE, video TEXT, stamp TEXT, key TEXT, missing INTEGER);
    TABLE IF NOT EXISTS passages
        (id INTEGER PRIMARY KEY, video INTEGER, path TEXT, start REAL, "end" REAL, source TEXT, text TEXT);
    INDEX IF NOT EXISTS of_video ON passages (video);
    VIRTUAL TABLE IF NOT EXISTS words USING fts5 (terms, tokenize = "ascii tokenchars '_'")
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What bringing an index up to date did, and what is in it."""

    read: int
    removed: int
    videos: int
    partly: int
    """Videos of which some segments have no caption."""


class LibraryIndex:
    """The full-text index of a folder of trees, as a context manager.

    Args:
        path: Its file.

    Raises:
        InputError: on entering and in every method: the file is damaged, another program's, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        try:
            self._file = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        except sqlite3.Error as error:
            raise self._refusal(error) from None
        try:
            with self._told():
                self._begin()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def update(self, trees: Path) -> Changes:
        """Reads new and changed trees, forgets removed ones. Killed in between, whole trees are in it or not.

        Raises:
            InputError: a tree that cannot be read.
        """
        files = {_text(path.name): path for path in sorted(trees.glob("*.json"))}
        found = {name: stamp for name, path in files.items() if (stamp := _stamp(path))}
        with self._told():
            stamps = dict(self._file.execute("SELECT file, stamp FROM videos"))
        if gone := [name for name in stamps if name not in found]:
            with self._transaction():
                for name in gone:
                    self._forget(name)
        changed = [name for name, stamp in found.items() if stamps.get(name) != stamp]
        read = 0
        for begin in range(0, len(changed), _AT_ONCE):
            with self._transaction():
                read += sum(self._read(name, files[name], found[name]) for name in changed[begin : begin + _AT_ONCE])
        with self._told():
            count = self._file.execute("SELECT count(*), total(missing > 0) FROM videos")
            videos, partly = count.fetchone()
        return Changes(read, len(gone), videos, int(partly))

    def find(self, query: str, count: int, sources: Sequence[str]) -> list[tuple[str, Passage]]:
        """Videos and passages that match, best first; equal ones in the order in which they were read.

        Raises:
            InputError: nothing in the query to look for, or too much.
        """
        wanted = [_written(term) for term in terms(query)]
        if not wanted or len(query) > LONGEST_QUERY:
            hint = f"give words to look for, in at most {LONGEST_QUERY} characters"
            raise InputError("search", "query", query, hint)
        kinds = {kind for source in sources for kind in (("", *KINDS) if source == "lines" else (source,))}
        # Every term is a quoted string of letters, digits and `_`: nothing of it is FTS5's syntax.
        match = " OR ".join(f'"{term}"' for term in wanted)
        with self._told(), closing(self._file.cursor()) as rows:
            rows.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank, rowid", (match,))
            return distinct(self._passages(rows, kinds), count)

    def _passages(self, rows: sqlite3.Cursor, kinds: set[str]) -> Iterator[tuple[str, Passage]]:
        query = (
            'SELECT v.video, p.path, p.start, p."end", p.text, p.source FROM passages p JOIN videos v ON v.id = p.video'
        )
        for (number,) in rows:
            video, path, *rest = self._file.execute(f"{query} WHERE p.id = ?", (number,)).fetchone()
            passage = Passage(tuple(json.loads(path)), *rest)
            if passage.source in kinds:
                yield video, passage

    def _begin(self) -> None:
        self._file.execute("BEGIN")  # all of it as of one moment: another process may be making the file
        made = self._is_made()
        self._file.execute("COMMIT")
        if made:
            return
        with self._transaction():
            if self._is_made():  # meanwhile, by another process
                return
            for each in _SCHEMA.split(";"):
                self._file.execute(f"CREATE {each}")
            self._file.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._file.execute(f"PRAGMA user_version = {_VERSION}")

    def _is_made(self) -> bool:
        (tables,), (application,), (version,) = (
            self._file.execute(query).fetchone()
            for query in ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
        )
        if tables and application != _APPLICATION:
            raise InputError(self.path, "index", "another program's database", "give --index another file")
        if tables and version != _VERSION:
            hint = "delete it: it is made anew from the trees"
            raise InputError(self.path, "index", f"of version {version}, this one reads {_VERSION}", hint)
        return bool(tables)

    def _read(self, name: str, path: Path, stamp: str) -> bool:
        """Puts a tree in the place of what its file held before; whether it says anything else."""
        try:
            tree = CaptionTree.load(path)
        except FileNotFoundError:  # since the folder was listed; the next update forgets it
            return False
        except OSError as error:
            raise InputError(path, "tree", error.strerror, "let it be read, or take it out of the folder") from None
        passages = [*chain.from_iterable(SOURCES[source](tree) for source in ("captions", "lines"))]
        key, missing = passages_key(passages), tree.grid.segment_count - len(tree.captions)
        found = self._file.execute("SELECT key, video FROM videos WHERE file = ?", (name,)).fetchone()
        if found == (key, _text(tree.video_id)):
            self._file.execute("UPDATE videos SET stamp = ? WHERE file = ?", (stamp, name))
            return False
        self._forget(name)
        row = (name, _text(tree.video_id), stamp, key, missing)
        video = self._file.execute(
            "INSERT INTO videos (file, video, stamp, key, missing) VALUES (?, ?, ?, ?, ?)", row
        ).lastrowid
        for each in passages:
            values = (video, json.dumps(each.path), each.start, each.end, each.source, _text(each.text))
            number = self._file.execute(
                'INSERT INTO passages (video, path, start, "end", source, text) VALUES (?, ?, ?, ?, ?, ?)', values
            ).lastrowid
            said = " ".join(map(_written, terms(each.text)))
            self._file.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (number, said))
        return True

    def _forget(self, name: str) -> None:
        of_video = "(SELECT id FROM videos WHERE file = ?)"
        self._file.execute(
            f"DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE video IN {of_video})", (name,)
        )
        self._file.execute(f"DELETE FROM passages WHERE video IN {of_video}", (name,))
        self._file.execute("DELETE FROM videos WHERE file = ?", (name,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of what is written inside, or nothing; other writers wait."""
        with self._told():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _refusal(self, error: sqlite3.Error) -> InputError:
        if isinstance(error, sqlite3.OperationalError):
            hint = "give --index a file in a folder that can be written, and that no one else is writing"
        else:
            hint = "delete it: it is made anew from the trees"
        return InputError(self.path, "index", str(error), hint)


def _stamp(path: Path) -> str:
    """What changes with a file that is written whole, it is a new one, and with how words are found; "": no file."""
    try:
        found = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return ""  # removed since the folder was listed
        raise InputError(path, "tree", error.strerror, "let it be read, or take it out of the folder") from None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {made_by()}"


def _written(term: str) -> str:
    """A term of letters, digits and `_` alone, one word to every version of SQLite; equal for equal terms only."""
    return term if term.isascii() and term.isalnum() else f"_{term.encode().hex()}"


def _text(text: str) -> str:
    """A text that SQLite holds: half of a surrogate pair is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    data: Annotated[Path, typer.Option(help="Folder with trees/.")],
    results: Annotated[int, typer.Option(help="Most results.")] = 10,
    words: Annotated[int, typer.Option(help="Most words of a result's text.")] = 20,
    sources: Annotated[str, typer.Option(help="Of captions, speech, screen, annotation, lines.")] = "captions,lines",
    index: Annotated[Path | None, typer.Option(help=f"The index; default: {FILE} in the folder.")] = None,
) -> None:
    """Find in which videos of a folder of caption trees something is, and where in them.

    The folder's index is made at the first search, and brought up to date at each: new, changed and removed trees.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    chosen = SearchSettings.from_config({"count": results, "words": words, "sources": sources})
    if not (data / "trees").is_dir():
        raise InputError(data, "--data", str(data), "give a folder with trees/")
    with LibraryIndex(index or data / FILE) as library:
        changes = library.update(data / "trees")
        found = library.find(query, chosen.count, chosen.sources)
    if changes.read or changes.removed:
        typer.echo(f"{changes.read} new or changed videos read, {changes.removed} removed", err=True)
    if changes.partly:
        typer.echo(
            f"{changes.partly} of {changes.videos} videos lack captions: they are found by those they have", err=True
        )
    if not found:
        typer.echo(f"nothing found in {changes.videos} videos: use other words", err=True)
        raise typer.Exit(1)
    console, wanted = Console(highlight=False), set(terms(query))
    for video, passage in found:
        place = f"{format_path(passage.path)} {clock(passage.start)}-{clock(passage.end)} "
        said = snippet(passage.text, wanted, chosen.words)
        kind = passage.source if passage.source in KINDS else ""
        console.print(Text.assemble((plain(video), "bold"), " ", (place, "cyan"), (kind, "dim")), overflow="fold")
        console.print(Padding(Text(plain(said)), (0, 0, 0, 2)))
