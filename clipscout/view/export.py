"""`clipscout view --export`: trajectories as one HTML file that needs no server."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from clipscout.view.filters import Filter
from clipscout.view.trajectory_page import trajectory_page
from clipscout.view.trajectory_set import TrajectorySet
from clipscout.web import templates
from clipscout.web.pages import style_sheet
from navigation import InputError, write_atomic

HERE = Path(__file__).parent


def export(sets: Sequence[TrajectorySet], chosen: Filter, out: Path, limit: int = 100) -> int:
    """Writes the trajectories of one set that match the filter, or two sets side by side on the questions they share.

    Args:
        sets: One or two.
        chosen: Applies to the first set. Of two, each question stands once, by its first trajectory that matches.
        limit: Questions to write at most; the page says how many were left out.

    Returns:
        How many questions were written.

    Raises:
        InputError: more than two sets, or nothing matches.
    """
    if not 1 <= len(sets) <= 2:
        raise InputError("view", "export", [each.name for each in sets], "choose one or two of these with --only")
    numbers = chosen.select(sets[0])
    groups: list[tuple[int, ...]] = [(number,) for number in numbers]
    if len(sets) == 2:
        theirs = sets[1].by_question()
        first: dict[str, int] = {}
        for number in numbers:
            first.setdefault(sets[0].rows[number].question_id, number)
        groups = [(number, theirs[question][0]) for question, number in first.items() if question in theirs]
    if not groups:
        raise InputError("view", "export", 0, "no trajectory matches this filter")
    pages = [
        [
            trajectory_page(trajectories, number, f"q{place}-{side}-")
            for side, (trajectories, number) in enumerate(zip(sets, group, strict=True), 1)
        ]
        for place, group in enumerate(groups[:limit], 1)
    ]
    style = style_sheet(HERE / "static" / "view.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = (
        templates(HERE / "templates")
        .get_template("export.html")
        .render(
            embedded=True,
            style=Markup(style),
            style_hash=f"sha256-{digest}",
            groups=pages,
            names=[each.name for each in sets],
            left_out=len(groups) - len(pages),
            sets=sets,
        )
    )
    write_atomic(out, text)
    return len(pages)
