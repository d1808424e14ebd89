"""A choice of walks as one HTML file that needs nothing else: no request, no script."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from clipscout.view.app import HERE
from clipscout.view.filters import Filter
from clipscout.view.walk_page import WalkPage, walk_page
from clipscout.view.walk_set import WalkSet
from clipscout.web import templates
from clipscout.web.templates import style_sheet
from navigation import InputError, write_atomic


def export(sets: Sequence[WalkSet], chosen: Filter, out: Path, limit: int = 100) -> int:
    """Writes the walks of one set that pass the filter, or of two sets side by side on the questions they share.

    Args:
        sets: One or two.
        chosen: Applies to the first set. Of two, each question stands once, by its first walk that passes.
        limit: Questions to write at most; the page says how many were left out.

    Returns:
        How many questions were written.

    Raises:
        InputError: more than two sets, or nothing passes.
    """
    if not 1 <= len(sets) <= 2:
        raise InputError("view", "export", [each.name for each in sets], "choose one or two of these with --only")
    numbers = chosen.select(sets[0])
    if len(sets) == 2:
        theirs = sets[1].by_question()
        first: dict[str, int] = {}
        for number in numbers:
            first.setdefault(sets[0].rows[number].question_id, number)
        pairs = [(number, theirs[question][0]) for question, number in first.items() if question in theirs]
    else:
        pairs = [(number,) for number in numbers]
    if not pairs:
        raise InputError("view", "export", 0, "no walk passes this filter")
    groups: list[list[WalkPage]] = [
        [walk_page(walks, number) for walks, number in zip(sets, pair, strict=True)] for pair in pairs[:limit]
    ]
    environment = templates(HERE / "templates")
    style = style_sheet(HERE / "static" / "view.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template("export.html").render(
        embedded=True, style=Markup(style), style_hash=f"sha256-{digest}", groups=groups,
        names=[each.name for each in sets], left_out=len(pairs) - len(groups), sets=sets,
    )  # fmt: skip
    write_atomic(out, page)
    return len(groups)
