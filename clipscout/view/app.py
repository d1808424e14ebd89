"""The viewer's pages. Plain links and forms: no script runs in them."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clipscout.view.episode_page import EpisodePage, episode_page
from clipscout.view.filters import CORRECT, ORDERS, OUTCOMES, Filter, compare
from clipscout.view.index import Row
from clipscout.view.trajectory_set import TrajectorySet
from clipscout.web import Guard, templates
from clipscout.web.pages import asset_route, style_sheet
from clipscout.web.server import LOOPBACK, App
from navigation import InputError, Status, write_atomic

HERE = Path(__file__).parent
PAGE_SIZE = 50


def view_app(sets: Sequence[TrajectorySet], hosts: tuple[str, ...] | None = LOOPBACK) -> App:
    """The pages over some sets of trajectories: a list with filters, a trajectory, a comparison."""
    pages = _Pages(sets)
    routes = [
        Route("/", pages.guarded(pages.list)),
        Route("/trajectory/{trajectories:int}/{number:int}", pages.guarded(pages.trajectory)),
        Route("/compare", pages.guarded(pages.compare)),
        asset_route({"view.css": style_sheet(HERE / "static" / "view.css")}),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: pages.not_found}), hosts=hosts)


class _Pages:
    def __init__(self, sets: Sequence[TrajectorySet]) -> None:
        self.sets = list(sets)
        self.turn = Lock()
        self.templates = templates(HERE / "templates")
        self.templates.globals |= {"sets": self.sets, "embedded": False}
        self.templates.filters["combined"] = _combined

    def guarded(self, page: Callable[[Request], str]) -> Callable[[Request], Any]:
        """The page, or what is wrong with the request or with the run's files.

        Runs in a thread, as pages read files; one at a time, so that the rows stay the same while a page is made.
        """

        def answer(request: Request) -> Response:
            try:
                with self.turn:
                    return HTMLResponse(page(request))
            except InputError as error:
                return self._problem(str(error), 400)
            except IndexError:
                return self._problem("there is no such page", 404)
            except OSError as error:
                return self._problem(f"the run's files cannot be read: {error.strerror}", 404)

        return answer

    async def not_found(self, request: Request, error: Exception) -> Response:
        return self._problem("there is no such page", 404)

    def list(self, request: Request) -> str:
        query = request.query_params
        place, trajectories = self._set(query.get("set", "0"))
        chosen = Filter.from_query(query)
        numbers = chosen.select(trajectories)
        pages = max(1, -(-len(numbers) // PAGE_SIZE))
        page = min(max(1, _whole("page", query.get("page", "1"))), pages)
        shown = numbers[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        rows = [trajectories.rows[number] for number in numbers]
        return self._render(
            "list.html",
            place=place,
            trajectories=trajectories,
            filter=chosen,
            rows=[(number, trajectories.rows[number]) for number in shown],
            page=page,
            pages=pages,
            count=len(numbers),
            facts=summary(rows),
            statuses=[each.value for each in Status],
            correct=CORRECT,
            orders=ORDERS,
            kinds=sorted({kind for kind in trajectories.questions.kinds.values() if kind}),
            has_steps=any(row.step is not None for row in rows[:1]),
            query=lambda **more: chosen.query(set=place, **more),
        )

    def trajectory(self, request: Request) -> str:
        place, trajectories = self._set(str(request.path_params["trajectories"]))
        number = request.path_params["number"]
        chosen = Filter.from_query(request.query_params)
        told = episode_page(trajectories, number)
        around = chosen.select(trajectories)
        at = around.index(number) if number in around else None
        return self._render(
            "episode_page.html", place=place, told=told, filter=chosen,
            query=lambda **more: chosen.query(set=place, **more),
            before=around[at - 1] if at else None,
            after=around[at + 1] if at is not None and at + 1 < len(around) else None,
            at=at, count=len(around),
            same=[other for other in trajectories.by_question()[told.row.question_id] if other != number],
            others=[
                (index, other) for index, other in enumerate(self.sets)
                if other is not trajectories and told.row.question_id in other.by_question()
            ],
        )  # fmt: skip

    def compare(self, request: Request) -> str:
        query = request.query_params
        (left_place, left), (right_place, right) = self._set(query.get("left", "0")), self._set(query.get("right", "1"))
        question_id = query.get("question")
        found = compare(left, right)
        outcome = query.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            raise InputError("compare", "outcome", outcome, f"give one of {', '.join(OUTCOMES)}")
        pairs = [pair for pair in found.pairs if not outcome or pair.outcome == outcome]
        shared = {
            "left": left, "right": right, "left_place": left_place, "right_place": right_place, "found": found,
            "outcome": outcome, "outcomes": OUTCOMES,
        }  # fmt: skip
        if question_id is None:
            pages = max(1, -(-len(pairs) // PAGE_SIZE))
            page = min(max(1, _whole("page", query.get("page", "1"))), pages)
            shown = pairs[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
            return self._render(
                "compare.html", pairs=shown, count=len(pairs), page=page, pages=pages, **shared,
            )  # fmt: skip
        at = next((index for index, pair in enumerate(pairs) if pair.question_id == question_id), None)
        if at is None:
            raise InputError("compare", "question", question_id, "give a question that both hold, of this outcome")
        pair = pairs[at]
        number = [
            min(max(0, _whole(name, query.get(name, "0"))), len(numbers) - 1)
            for name, numbers in (("i", pair.left), ("j", pair.right))
        ]
        return self._render(
            "compare_episodes.html", pair=pair, chosen=number, place_of_pair=at, count=len(pairs),
            before=pairs[at - 1].question_id if at else None,
            after=pairs[at + 1].question_id if at + 1 < len(pairs) else None,
            told=[episode_page(left, pair.left[number[0]]), episode_page(right, pair.right[number[1]])], **shared,
        )  # fmt: skip

    def _set(self, given: str) -> tuple[int, TrajectorySet]:
        place = _whole("set", given)
        if not 0 <= place < len(self.sets):
            raise InputError("viewer", "set", given, f"give a number from 0 to {len(self.sets) - 1}")
        self.sets[place].refresh()
        return place, self.sets[place]

    def _render(self, name: str, **values: Any) -> str:
        return self.templates.get_template(name).render(**values)

    def _problem(self, text: str, status: int) -> Response:
        return HTMLResponse(self._render("problem.html", text=text), status)


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts and means of some trajectories."""
    totals = [row.total for row in rows if row.total is not None]
    return {
        "statuses": Counter(row.status for row in rows),
        "right": sum(row.correct for row in rows),
        "visits": fmean(row.visits for row in rows) if rows else None,
        "total": fmean(totals) if totals else None,
    }


def _combined(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both mappings as query values, without empty ones; what cannot be encoded is replaced."""
    return {key: str(value).encode("utf-8", "replace") for key, value in (values | more).items() if value != ""}


def _whole(name: str, given: str) -> int:
    try:
        return int(given[:20])
    except ValueError:
        raise InputError("viewer", name, given, "give a whole number") from None


def export(sets: Sequence[TrajectorySet], chosen: Filter, out: Path, limit: int = 100) -> int:
    """Writes the trajectories of one set that pass the filter, or of two sets side by side on the questions they share.

    Args:
        sets: One or two.
        chosen: Applies to the first set. Of two, each question stands once, by its first trajectory that passes.
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
        raise InputError("view", "export", 0, "no trajectory passes this filter")
    groups: list[list[EpisodePage]] = [
        [episode_page(trajectories, number) for trajectories, number in zip(sets, pair, strict=True)]
        for pair in pairs[:limit]
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
