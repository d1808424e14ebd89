"""Looking words up in a video: stemmed BM25 over captions and timed lines, with embeddings where a model is named."""

import logging
import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from navigation import search_file
from navigation.caption_tree import ANNOTATION, SCREEN, SPEECH, CaptionTree
from navigation.errors import InputError
from navigation.files import child_path
from navigation.grid import SegmentPath, clock, format_path
from navigation.prompt import without_markup
from navigation.tools import SEARCH
from navigation.words import snippet, terms

Encoder = Callable[[list[str]], np.ndarray]
"""Texts to `(texts, dimensions)`."""

_FUSED = 50
"""Passages of each ranking that are fused."""
LONGEST_QUERY = 1_000
"""Characters of a query that is searched for."""


class Passage(NamedTuple):
    """One text that a search can find, with the segment that a result names, its time in seconds, and its source."""

    path: SegmentPath
    start: float
    end: float
    text: str
    source: str


def _captions(tree: CaptionTree) -> Iterator[Passage]:
    # What an on-demand tree has not captioned yet is left out: looking it up would make it.
    known = set(tree.captions)
    for path in tree.grid.paths():
        if path in known:
            yield Passage(path, *tree.grid.interval(path), tree.captions[path], "captions")


def _lines(tree: CaptionTree, source: str) -> Iterator[Passage]:
    for line in tree.lines:
        if source in ("lines", line.kind) and line.start <= tree.grid.duration:
            leaf = tree.grid.path_at(max(0.0, min((line.start + line.end) / 2, tree.grid.duration)))
            yield Passage(leaf, max(0.0, line.start), max(0.0, line.end), line.text, line.kind)


SOURCES: dict[str, Callable[[CaptionTree], Iterable[Passage]]] = {
    "captions": _captions,
    "lines": lambda tree: _lines(tree, "lines"),
    SPEECH: lambda tree: _lines(tree, SPEECH),
    SCREEN: lambda tree: _lines(tree, SCREEN),
    ANNOTATION: lambda tree: _lines(tree, ANNOTATION),
}
"""What can be searched: the captions of all levels, all timed lines, or the lines of one kind."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a search looks at and what its reply holds.

    Args:
        count: Most lines of a reply.
        words: Most words of a line's text.
        sources: Names of `SOURCES`.
        embedder: Folder or Hub name of a sentence-transformers model whose ranking is fused with BM25's; "": none.
    """

    count: int = 5
    words: int = 20
    sources: tuple[str, ...] = ("captions", SPEECH, SCREEN)
    embedder: str = ""

    def __post_init__(self) -> None:
        for name in ("count", "words"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise InputError("search", name, getattr(self, name), "give a whole number of at least 1")
        if not self.sources or not set(self.sources) <= SOURCES.keys():
            raise InputError("search", "sources", self.sources, f"give some of {', '.join(SOURCES)}")
        doubled = {SPEECH, SCREEN, ANNOTATION} & set(self.sources) if "lines" in self.sources else ()
        if doubled or len(set(self.sources)) < len(self.sources):
            raise InputError("search", "sources", self.sources, "give each once: lines are those of every kind")
        if not isinstance(self.embedder, str):
            raise InputError("search", "embedder", self.embedder, "give the name of a sentence-transformers model")

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "SearchSettings":
        """Reads `{count, words, sources, embedder}`; what is left out keeps its default.

        Raises:
            InputError: an unknown key, or a value that cannot be.
        """
        if config is None:
            return cls()
        known = {each.name for each in fields(cls)}
        if not isinstance(config, Mapping) or not config.keys() <= known:
            raise InputError("search", "search", config, f"give a mapping of {', '.join(sorted(known))}")
        values = dict(config)
        if isinstance(sources := values.get("sources"), (str, list, tuple)):
            names = sources.split(",") if isinstance(sources, str) else sources
            values["sources"] = tuple(str(name).strip() for name in names)
        return cls(**values)

    def differs(self, other: "SearchSettings") -> bool:
        """Whether replies look otherwise. Two embedders are not told apart: one has a name on each machine."""
        return replace(self, embedder="") != replace(other, embedder="") or bool(self.embedder) != bool(other.embedder)

    def flags(self) -> str:
        """What commands are told to search so."""
        values = {"results": self.count, "words": self.words, "sources": ",".join(self.sources)}
        embedder = f" --search-embedder {self.embedder}" if self.embedder else ""
        return " ".join(f"--search-{name} {value}" for name, value in values.items()) + embedder


def told_search(tools: Iterable[str], settings: SearchSettings | None) -> dict[str, Any]:
    """What a record says of an episode's search; nothing where its tools hold none, or where it is not known."""
    return {"search": asdict(settings)} if settings is not None and SEARCH in tools else {}


class SearchIndex:
    """The passages of one video, ranked by words, and by meaning where there is an encoder.

    BM25 is bm25s' (Lucene's formula). Both rankings are fused by reciprocal rank (Cormack, Clarke, Büttcher 2009:
    1 / (60 + rank), summed).

    Args:
        passages: What can be found.
        encode: Ranks by meaning too.
        arrays: As `search_file` holds them; None: made of the passages.
    """

    def __init__(
        self,
        passages: Iterable[Passage],
        encode: Encoder | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.passages: Sequence[Passage] = list(passages)
        self._encode = encode
        self.arrays = index_arrays(self.passages, encode) if arrays is None else arrays
        self._words = _Words(self.arrays)

    @classmethod
    def kept(cls, passages: Sequence[Passage], encode: Encoder | None, model: str, path: Path, tree: Path) -> Self:
        """The index that a file holds; made, and the file with it, where there is none of these passages.

        Args:
            passages: What can be found.
            encode: The encoder of `model`.
            model: Its name; "": none.
            path: The file of the index.
            tree: The file of its tree. Of processes that find no index, one makes it while the others wait.

        Raises:
            OSError: the file cannot be written.
        """
        key, probe = passages_key(passages, model), _probe(encode) if encode is not None else None
        arrays = _opened(path, key, len(passages), probe)
        if arrays is None:
            with search_file.alone(tree):
                arrays = _opened(path, key, len(passages), probe)
                if arrays is None:
                    search_file.write_index(path, key, len(passages), index_arrays(passages, encode))
                    arrays = _opened(path, key, len(passages), probe)
        return cls(passages, encode, arrays)

    def rank(self, query: str, within: SegmentPath = ()) -> list[int]:
        """Places of the passages inside a segment that match, best first; equal ones in the order of `passages`."""
        inside = np.ones(len(self.passages), dtype=bool)
        if within:
            inside[:] = [passage.path[: len(within)] == within for passage in self.passages]
        by_words = _order(self._scores(query), inside)
        vectors = self.arrays.get("vectors")
        if vectors is None or self._encode is None:
            return by_words
        near = np.round(vectors @ unit(self._encode([query]))[0], 6)
        fused: dict[int, float] = {}
        for ranking in (by_words[:_FUSED], _order(near, inside)[:_FUSED]):
            for rank, place in enumerate(ranking, 1):
                fused[place] = fused.get(place, 0.0) + 1 / (60 + rank)
        return sorted(fused, key=lambda place: (-fused[place], place))

    def _scores(self, query: str) -> np.ndarray:
        """BM25 of every passage, [passages]."""
        starts, places, weights = (self.arrays[name] for name in ("starts", "places", "weights"))
        scores = np.zeros(len(self.passages), dtype=np.float32)
        for term in terms(query):
            word = term.encode()
            number = bisect_left(self._words, word)
            if number < len(self._words) and self._words[number] == word:
                here = slice(starts[number], starts[number + 1])
                scores[places[here]] += weights[here]  # a passage stands once among a term's places
        return scores


class _Words(Sequence[bytes]):
    """The sorted terms of an index's arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._bytes, self._bounds = arrays["words"], arrays["bounds"]

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, number: Any) -> Any:
        return self._bytes[self._bounds[number] : self._bounds[number + 1]].tobytes()


def index_arrays(passages: Sequence[Passage], encode: Encoder | None = None) -> dict[str, np.ndarray]:
    """What `search_file` describes."""
    texts = [terms(passage.text) for passage in passages]
    words: list[tuple[bytes, int]] = []
    indices, weights, starts = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64)
    if any(texts):
        import bm25s

        scorer = bm25s.BM25()
        scorer.index(texts, show_progress=False)
        words = sorted((word.encode(), number) for word, number in scorer.vocab_dict.items() if word)
        columns = np.array([number for _, number in words])
        begins = np.asarray(scorer.scores["indptr"], dtype=np.int64)
        counts = begins[columns + 1] - begins[columns]
        starts = np.concatenate([[0], np.cumsum(counts)])
        moved = np.repeat(begins[columns] - starts[:-1], counts) + np.arange(starts[-1])
        indices, weights = scorer.scores["indices"][moved], scorer.scores["data"][moved]
    arrays: dict[str, np.ndarray] = {
        "words": np.frombuffer(b"".join(word for word, _ in words), dtype=np.uint8),
        "bounds": np.cumsum([0, *(len(word) for word, _ in words)], dtype=np.int64),
        "starts": starts,
        "places": indices.astype(np.int32),
        "weights": weights.astype(np.float32),
    }
    if encode is not None and passages:
        vectors = unit(encode([passage.text for passage in passages]))
        arrays |= {"vectors": vectors.astype(np.float32), "probe": _probe(encode)}
    return arrays


def passages_key(passages: Iterable[Passage], model: str = "") -> str:
    """What an index is made of and how, as a hash: the passages are those of a tree by the sources of its settings."""
    return search_file.fingerprint(made_by(), model, *passages).hexdigest()


@lru_cache(maxsize=1)
def made_by() -> str:
    """What decides how words are found and kept: another text, another index."""
    return ", ".join([search_file.FORMAT, *(f"{name} {version(name)}" for name in ("bm25s", "PyStemmer"))])


@lru_cache(maxsize=2)
def _probe(encode: Encoder) -> np.ndarray:
    """What an encoder makes of one text: a model that was trained on under the same name makes something else of it."""
    return unit(encode(["A person opens the door, 42."]))[0].astype(np.float32)


def _opened(path: Path, key: str, passages: int, probe: np.ndarray | None) -> dict[str, np.ndarray] | None:
    arrays = search_file.open_index(path, key, passages)
    if arrays is None or probe is None or not passages:
        return arrays
    kept = arrays.get("probe")
    # Another machine rounds a little differently.
    return arrays if kept is not None and kept.shape == probe.shape and np.allclose(kept, probe, atol=1e-3) else None


def _order(scores: np.ndarray, inside: np.ndarray) -> list[int]:
    """Places with a score above 0, best first."""
    found = np.flatnonzero((scores > 0) & inside)
    return found[np.argsort(-scores[found], kind="stable")].tolist()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, [texts, dimensions]; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


@lru_cache(maxsize=2)
def load_encoder(model: str) -> Encoder:
    """A sentence-transformers model, by folder or Hub name, on the CPU or the first GPU.

    Raises:
        InputError: sentence-transformers is not installed, or there is no such model.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        hint = "pip install sentence-transformers, or leave the embedder out to rank by BM25"
        raise InputError("search", "embedder", model, hint) from None
    try:
        loaded = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        hint = f"give the folder or Hub name of a sentence-transformers model: {error}"
        raise InputError("search", "embedder", model, hint) from None
    return lambda texts: np.asarray(loaded.encode(texts, show_progress_bar=False))


@dataclass
class Search:
    """Searches videos; keeps the indices of the last ones. Thread-safe; picklable, indices stay behind.

    A fully captioned tree of a folder has its index in a file beside it, made when the video is first searched; the
    index of any other is kept in memory alone.

    Args:
        settings: What is looked at and what is told.
        capacity: Indices in memory; of those with a file, only what is looked at is in memory.
        folder: Of the trees' files; None: there are none.
    """

    settings: SearchSettings = field(default_factory=SearchSettings)
    capacity: int = 256
    folder: Path | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._indices: OrderedDict[str, tuple[CaptionTree, int, SearchIndex]] = OrderedDict()
        self._told: set[int] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.settings, self.capacity, self.folder)

    def prepare(self) -> None:
        """Loads the embedder, so that one that cannot be had is said before the first episode.

        Raises:
            InputError: see `load_encoder`.
        """
        if self.settings.embedder:
            load_encoder(self.settings.embedder)

    def index(self, tree: CaptionTree) -> SearchIndex:
        """The index of a tree, as far as it is captioned now."""
        known = len(tree.captions)
        with self._lock:
            found = self._indices.get(tree.video_id)
            if found is None or found[0] is not tree or found[1] != known:
                found = self._indices[tree.video_id] = (tree, known, self._made(tree))
                while len(self._indices) > self.capacity:
                    self._indices.popitem(last=False)
            self._indices.move_to_end(tree.video_id)
            return found[2]

    def _made(self, tree: CaptionTree) -> SearchIndex:
        model = self.settings.embedder
        encode = load_encoder(model) if model else None
        passages = [passage for source in self.settings.sources for passage in SOURCES[source](tree)]
        path = self.file(tree.video_id)
        file = child_path(self.folder, tree.video_id, ".json") if self.folder is not None else None
        whole = len(tree.captions) == tree.grid.segment_count
        if path is None or file is None or not whole or not file.is_file():
            self._tell(logging.INFO, "%s: its search index is kept in memory alone", tree.video_id)
            return SearchIndex(passages, encode)
        try:
            return SearchIndex.kept(passages, encode, model, path, file)
        except OSError as error:
            hint = "each process makes its own in memory; make the folder writable to keep them"
            self._tell(logging.WARNING, "%s: no search index can be kept (%s): %s", path, error, hint)
            return SearchIndex(passages, encode)

    def _tell(self, level: int, text: str, *values: object) -> None:
        """Once for each level, not for each of thousands of videos."""
        if level not in self._told:
            self._told.add(level)
            logging.getLogger(__name__).log(level, text, *values)

    def file(self, video_id: str) -> Path | None:
        """Where the index of a video is kept: other sources and embedders have files of their own."""
        if self.folder is None:
            return None
        made_by = search_file.fingerprint(self.settings.sources, self.settings.embedder).hexdigest()[:8]
        return child_path(self.folder, video_id, f".{made_by}.search")

    def captions_read(self, tree: CaptionTree) -> list[SegmentPath]:
        """Segments whose captions the index of a tree is made of."""
        return [path for path in tree.grid.paths() if path in tree.captions] if self._reads_captions else []

    @property
    def _reads_captions(self) -> bool:
        return "captions" in self.settings.sources

    def results(self, tree: CaptionTree, query: str, within: SegmentPath = ()) -> list[Passage]:
        """The passages that a reply names, best first: at most `count`.

        Of segments that lie inside one another only the finest is named, in the best one's place; a line that says the
        same of a leaf as its caption is a result of its own.
        """
        index = self.index(tree)
        ranked = ((tree.video_id, index.passages[place]) for place in index.rank(query, within))
        return [passage for _, passage in distinct(ranked, self.settings.count)]

    def reply(self, tree: CaptionTree, query: str, within: SegmentPath = ()) -> str:
        """What a policy reads: a line a result, and a last one that says what was not searched, if anything was not."""
        wanted = set(terms(query))
        lines = [self._line(passage, wanted) for passage in self.results(tree, query, within)]
        if not lines:
            lines = ["Nothing found. Use other words."]
        written, all_segments = len(tree.captions), tree.grid.segment_count
        if self._reads_captions and written < all_segments:
            lines.append(f"Searched {written} of {all_segments} captions: the others are not written yet.")
        return "\n".join(lines)

    def _line(self, passage: Passage, wanted: set[str]) -> str:
        text = snippet(passage.text, wanted, self.settings.words)
        place = f"{format_path(passage.path)} {clock(passage.start)}-{clock(passage.end)}"
        said = "" if passage.source in ("captions", "") else f" {passage.source}"
        return without_markup(f"{text} {place}{said}")


RESULT = re.compile(
    r"(?P<caption>.*) (?P<path>\[\d{1,4}(?:, \d{1,4}){0,31}\]) (?P<span>[\d:]{4,12}-[\d:]{4,12})(?: [a-z]+)?"
)
"""A line of a reply: what matches, its segment, its time, and the kind of a timed line."""


def read_results(reply: str) -> list[SegmentPath]:
    """The segments that a search's reply names, best first, each once."""
    found = (RESULT.fullmatch(line) for line in reply.splitlines())
    return list(dict.fromkeys(tuple(map(int, each["path"][1:-1].split(", "))) for each in found if each))


def distinct(ranked: Iterable[tuple[str, Passage]], count: int) -> list[tuple[str, Passage]]:
    """The first passages of a ranking with their videos, of captions inside one another the finest in the best's place.

    Args:
        ranked: Videos and passages, best first.
        count: Most of them.
    """
    chosen: list[tuple[str, Passage]] = []
    for video, passage in ranked:
        around = [number for number, (other, held) in enumerate(chosen) if other == video and _holds(held, passage)]
        if around:
            # Told once: by the finer of the two.
            if len(passage.path) > len(chosen[around[0]][1].path):
                chosen[around[0]] = video, passage
        elif len(chosen) < count:
            chosen.append((video, passage))
        else:
            break
    return chosen


def _holds(one: Passage, other: Passage) -> bool:
    """Whether one of two captions lies inside the other."""
    short = min(len(one.path), len(other.path))
    return one.source == other.source == "captions" and one.path[:short] == other.path[:short]
