"""The viewer's pages. Plain links and forms: no script runs in them."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from clipscout.view.filters import CORRECT, ORDERS, OUTCOMES, Filter, compare
from clipscout.view.index import Row
from clipscout.view.trajectory_page import trajectory_page
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
        Route("/trajectory/{place:int}/{number:int}", pages.guarded(pages.trajectory)),
        Route("/walk/{place:int}/{number:int}", _moved),
        Route("/compare", pages.guarded(pages.compare)),
        asset_route({"view.css": style_sheet(HERE / "static" / "view.css")}),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: pages.not_found}), hosts=hosts)


def _moved(request: Request) -> Response:
    """Addresses that stand in notes and links of earlier versions."""
    return RedirectResponse(request.url.replace(path=request.url.path.replace("walk", "trajectory", 1)))


class _Pages:
    def __init__(self, sets: Sequence[TrajectorySet]) -> None:
        self.sets = list(sets)
        self._lock = Lock()
        self.templates = templates(HERE / "templates")
        self.templates.globals |= {"sets": self.sets, "embedded": False}
        self.templates.filters["combined"] = _combined

    def guarded(self, page: Callable[[Request], str]) -> Callable[[Request], Any]:
        """The page, or what is wrong with the request or with the run's files.

        Runs in a thread, as pages read files; one at a time, so that the rows stay the same while a page is made.
        """

        def answer(request: Request) -> Response:
            try:
                with self._lock:
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
        rows = [trajectories.rows[number] for number in numbers]
        return self._render(
            "list.html",
            **_paged([(number, trajectories.rows[number]) for number in numbers], query),
            place=place,
            trajectories=trajectories,
            filter=chosen,
            facts=summary(rows),
            statuses=[each.value for each in Status],
            correct=CORRECT,
            orders=ORDERS,
            kinds=sorted({kind for kind in trajectories.questions.kinds.values() if kind}),
            has_steps=any(row.step is not None for row in rows[:1]),
            query=lambda **more: chosen.query(set=place, **more),
        )

    def trajectory(self, request: Request) -> str:
        place, trajectories = self._set(str(request.path_params["place"]))
        number = request.path_params["number"]
        chosen = Filter.from_query(request.query_params)
        page = trajectory_page(trajectories, number)
        question_id = page.row.question_id
        listed = chosen.select(trajectories)
        at = listed.index(number) if number in listed else None
        return self._render(
            "trajectory.html",
            place=place,
            page=page,
            filter=chosen,
            query=lambda **more: chosen.query(set=place, **more),
            before=listed[at - 1] if at else None,
            after=listed[at + 1] if at is not None and at + 1 < len(listed) else None,
            at=at,
            count=len(listed),
            same=[other for other in trajectories.by_question()[question_id] if other != number],
            others=[
                (index, other)
                for index, other in enumerate(self.sets)
                if other is not trajectories and question_id in other.by_question()
            ],
        )

    def compare(self, request: Request) -> str:
        query = request.query_params
        (left_place, left), (right_place, right) = self._set(query.get("left", "0")), self._set(query.get("right", "1"))
        found = compare(left, right)
        outcome = query.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            raise InputError("compare", "outcome", outcome, f"give one of {', '.join(OUTCOMES)}")
        pairs = [pair for pair in found.pairs if not outcome or pair.outcome == outcome]
        render = partial(
            self._render,
            left=left,
            right=right,
            left_place=left_place,
            right_place=right_place,
            found=found,
            outcome=outcome,
            outcomes=OUTCOMES,
        )
        question_id = query.get("question")
        if question_id is None:
            return render("compare.html", **_paged(pairs, query))
        at = next((index for index, pair in enumerate(pairs) if pair.question_id == question_id), None)
        if at is None:
            raise InputError("compare", "question", question_id, "give a question that both hold, of this outcome")
        pair = pairs[at]
        number = [
            min(max(0, _whole(name, query.get(name, "0"))), len(numbers) - 1)
            for name, numbers in (("i", pair.left), ("j", pair.right))
        ]
        return render(
            "compare_trajectories.html",
            pair=pair,
            chosen=number,
            place_of_pair=at,
            count=len(pairs),
            before=pairs[at - 1].question_id if at else None,
            after=pairs[at + 1].question_id if at + 1 < len(pairs) else None,
            cards=[trajectory_page(left, pair.left[number[0]]), trajectory_page(right, pair.right[number[1]])],
        )

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


def _paged(items: Sequence[Any], query: Mapping[str, str]) -> dict[str, Any]:
    """The items of the page that a query names, for the templates."""
    pages = max(1, -(-len(items) // PAGE_SIZE))
    page = min(max(1, _whole("page", query.get("page", "1"))), pages)
    return {
        "items": items[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        "page": page,
        "pages": pages,
        "count": len(items),
    }


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
        [trajectory_page(trajectories, number) for trajectories, number in zip(sets, group, strict=True)]
        for group in groups[:limit]
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
