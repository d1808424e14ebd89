"""The card of a folder of caption trees."""

from collections import Counter
from pathlib import Path

import yaml

from navigation import CaptionTree, InputError


def write_trees_card(folder: str | Path, repo: str, licence: str | None) -> str:
    """README.md of the trees in `folder/trees`, with their counts and who captioned them.

    Raises:
        InputError: no licence was given, or there is no tree.
    """
    if licence is None:
        raise InputError("push", "licence", None, "give --licence: that of the videos and annotations they come from")
    paths = sorted((Path(folder) / "trees").glob("*.json"))
    if not paths:
        raise InputError(folder, "trees", 0, "give a folder with caption trees in trees/")
    captioners: Counter[str] = Counter()
    captions, missing, hours = 0, 0, 0.0
    for path in paths:
        tree = CaptionTree.load(path)
        captioners[str(tree.made_by.get("captioner", "not recorded"))] += 1
        captions += len(tree.captions)
        missing += len(tree.missing())
        hours += tree.grid.duration / 3600
    header = {"license": licence, "pretty_name": repo.partition("/")[2], "language": ["en"], "tags": ["clipscout"]}
    made_by = ", ".join(
        f"{' '.join(name.replace('<', '‹').split())} {count}" for name, count in captioners.most_common()
    )
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {repo.partition('/')[2]}\n\n"
        f"Caption trees of {len(paths):,} videos, {hours:.1f} hours: {captions:,} captions, {missing:,} segments "
        f"without one. Captioned by: {made_by}.\n\n"
        "One JSON file a video: `duration`, `width`, `depth` and `segments` with `path`, `start`, `end` and `caption`; "
        "children divide their parent into `width` equal parts. `clipscout` reads them with `navigation.TreeStore`.\n"
    )
