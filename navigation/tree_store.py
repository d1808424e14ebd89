"""A folder of caption trees, opened one at a time and kept while they are in use."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from navigation.caption_tree import CaptionTree
from navigation.errors import InputError
from navigation.files import child_path, write_json


class TreeStore:
    """Caption trees of a folder by video id: `<folder>/<id>.json`, the most recently used kept in memory.

    Picklable: what is cached stays behind, so that worker processes share the files (and the page cache), not a copy.

    Args:
        folder: Where the trees are.
        capacity: How many opened trees to keep.
    """

    def __init__(self, folder: str | Path, capacity: int = 256) -> None:
        self.folder = Path(folder)
        self.capacity = capacity
        self._opened: OrderedDict[str, CaptionTree] = OrderedDict()
        # Tools run in threads, and an entry may be dropped between being found and being marked as used.
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.capacity)

    def path(self, video_id: str) -> Path:
        return child_path(self.folder, video_id, ".json")

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._opened or (bool(video_id) and self.path(video_id).is_file())

    def __getitem__(self, video_id: str) -> CaptionTree:
        """The tree of a video.

        Raises:
            InputError: no such file, or a tree of another video in it.
        """
        with self._lock:
            tree = self._opened.get(video_id)
            if tree is not None:
                self._opened.move_to_end(video_id)
                return tree
        path = self.path(video_id)
        if not path.is_file():
            raise InputError(
                self.folder, "video_id", video_id, f"make its caption tree first: {path.name} is not there"
            )
        tree = CaptionTree.load(path)
        if tree.video_id != video_id:
            raise InputError(path, "video_id", tree.video_id, f"this file should hold the tree of {video_id!r}")
        with self._lock:
            self._opened[video_id] = tree
            while len(self._opened) > self.capacity:
                self._opened.popitem(last=False)
        return tree

    def save(self, tree: CaptionTree) -> None:
        """Writes a tree; it is visible under its name only when complete."""
        write_json(self.path(tree.video_id), tree.to_dict())
        with self._lock:
            self._opened.pop(tree.video_id, None)

    def __iter__(self) -> Iterator[CaptionTree]:
        """Every tree of the folder in the order of its file names, none kept in memory."""
        for path in sorted(self.folder.glob("*.json")):
            yield CaptionTree.load(path)

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("*.json"))
