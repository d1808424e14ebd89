"""An embedding index over the leaf captions of one video, where a sentence-embedding model is installed."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from navigation import CaptionTree, InputError, SegmentPath

Encoder = Callable[[list[str]], np.ndarray]
"""Texts to `(texts, dimensions)`."""


class EmbeddingIndex:
    """Ranks the leaves of a tree by cosine similarity of their captions' embeddings to the query's.

    Args:
        tree: Leaves without a caption are left out.
        encode: Makes the embeddings.
    """

    def __init__(self, tree: CaptionTree, encode: Encoder) -> None:
        self.leaves: Sequence[SegmentPath] = [
            path for path in tree.grid.paths(tree.grid.depth) if path in tree.captions
        ]
        self._encode = encode
        self._vectors = _unit(encode([tree.captions[path] for path in self.leaves])) if self.leaves else None

    @property
    def size(self) -> int:
        """Captions that had to exist for this index."""
        return len(self.leaves)

    def search(self, query: str, count: int) -> list[SegmentPath]:
        """The `count` best leaves, best first; equal scores in time order."""
        if self._vectors is None:
            return []
        scores = self._vectors @ _unit(self._encode([query]))[0]
        order = sorted(range(len(self.leaves)), key=lambda index: (-round(float(scores[index]), 6), index))
        return [self.leaves[index] for index in order[:count]]


@lru_cache(maxsize=2)
def load_encoder(model: str) -> Encoder:
    """A sentence-transformers model, by folder or Hub name, on the CPU or the first GPU.

    Raises:
        InputError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        mend = "pip install sentence-transformers, or leave --embedder out to rank by BM25"
        raise InputError("policy retrieval", "embedder", model, mend) from None
    loaded = SentenceTransformer(model)
    return lambda texts: np.asarray(loaded.encode(texts, show_progress_bar=False))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
