"""The viewer's pages: links and forms; the one script that runs in them knows keys alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from clipscout.view.filters import CORRECT, ORDERS, OUTCOMES, Filter, compare, summary
from clipscout.view.overview import COLUMNS, Group, Overview
from clipscout.view.runs import ROLLOUTS, Runs
from clipscout.view.trajectory_page import trajectory_page
from clipscout.view.trajectory_set import TrajectorySet
from clipscout.web import Guard, templates
from clipscout.web.pages import asset_route, style_sheet
from clipscout.web.server import LOOPBACK, POLICY_WITH_KEYS, App
from navigation import InputError, SegmentPath, Status

HERE = Path(__file__).parent
PAGE_SIZE = 50
_TRAININGS, _CURVES = 6, 4
"""In the overview: how many trainings are drawn, the latest first, and how many curves of each."""
_ADDRESS = re.compile(r"[1-9]\d{0,3}(?:-[1-9]\d{0,3}){0,31}", re.ASCII)


def view_app(runs: Runs, hosts: tuple[str, ...] | None = LOOPBACK) -> App:
    """The pages over some runs: an overview, a list with filters, a trajectory, a comparison."""
    pages = _Pages(runs)
    routes = [
        Route("/", pages.guarded(pages.overview)),
        Route("/training", pages.guarded(pages.training)),
        Route("/list", pages.guarded(pages.episodes)),
        Route("/trajectory", pages.guarded(pages.trajectory)),
        Route("/compare", pages.guarded(pages.compare)),
        Route("/trajectory/{place:int}/{number:int}", pages.moved),
        Route("/walk/{place:int}/{number:int}", pages.moved),
        asset_route({"view.css": style_sheet(HERE / "static" / "view.css"), "keys.js": HERE / "static" / "keys.js"}),
    ]
    app = Starlette(routes=routes, exception_handlers={404: pages.not_found})
    return Guard(app, policy=POLICY_WITH_KEYS, hosts=hosts)


class _Pages:
    def __init__(self, runs: Runs) -> None:
        self.runs, self.figures = runs, Overview(runs)
        self._lock = Lock()
        self.templates = templates(HERE / "templates")
        self.templates.globals |= {"sets": runs.sets, "embedded": False, "at": address, "trajectory_at": _trajectory_at}

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

    async def moved(self, request: Request) -> Response:
        """Addresses by place, which stand in notes and links of earlier versions."""
        place, number = request.path_params["place"], request.path_params["number"]
        if place >= len(self.runs.sets) or number >= len(self.runs.sets[place].rows):
            return self._problem("there is no such page", 404)
        where = {"run": self.runs.sets[place].name, **self.runs.sets[place].address(number)}
        return RedirectResponse(address("/trajectory", where, dict(request.query_params)))

    def overview(self, request: Request) -> str:

        order = request.query_params.get("order", "")
        table, trainings = self.figures.table(order), self.figures.trainings()
        groups, shown = self.figures.groups(table), list(trainings)[:_TRAININGS]
        return self._render(
            "overview.html",
            table=table,
            order=order,
            columns=COLUMNS,
            groups=[(group, self._key_figure(group, place)) for place, group in enumerate(groups)],
            charts=[chart for name in shown for chart in self._curves(name, trainings[name], _CURVES)],
            further=[name for name in trainings if name not in shown],
        )

    def _key_figure(self, group: Group, place: int) -> Markup | None:
        if len(group.runs) < 2:
            return None
        policies = {run.label: run.summary for run in group.runs}

        def draw() -> Markup:
            from evaluation.charts import key_figures

            return key_figures(policies, self.figures.chance(group), f"key-{place}")

        return self.figures.kept(f"key figure {place}", list(policies.items()), draw)

    def _curves(self, name: str, rows: Sequence[Mapping[str, Any]], most: int | None = None) -> list[Any]:
        from evaluation.report import training_charts

        return self.figures.kept(f"curves {name} {most}", rows, lambda: training_charts({name: rows}, most))

    def training(self, request: Request) -> str:
        name, rows = self.figures.training(request.query_params.get("name", ""))
        rollouts = next((each.name for each in self.runs.sets if each.name == f"{name}/{ROLLOUTS}"), "")
        charts = self._curves(name, rows)
        return self._render("training.html", training=name, steps=len(rows), charts=charts, rollouts=rollouts)

    def episodes(self, request: Request) -> str:
        query = request.query_params
        trajectories = self._set(query, "run", 0)
        chosen = Filter.from_query(query)
        numbers = chosen.select(trajectories)
        return self._render(
            "list.html",
            **_paged([(number, trajectories.rows[number]) for number in numbers], query),
            trajectories=trajectories,
            filter=chosen,
            facts=summary([trajectories.rows[number] for number in numbers]),
            statuses=[each.value for each in Status],
            correct=CORRECT if any(not row.decided for row in trajectories.rows) else CORRECT[:-1],
            orders=ORDERS,
            kinds=sorted({kind for kind in trajectories.questions.kinds.values() if kind}),
            has_steps=any(trajectories.rows[number].step is not None for number in numbers[:1]),
            here=partial(address, "/list", {"run": trajectories.name} | chosen.to_dict()),
        )

    def trajectory(self, request: Request) -> str:
        query = request.query_params
        trajectories = self._set(query, "run", 0)
        number = trajectories.number(query.get("id", ""), _whole("nth", query.get("nth", "1")))
        chosen = Filter.from_query(query)
        page = trajectory_page(trajectories, number, segment=_segment(query.get("segment", "")))
        listed = chosen.select(trajectories)
        at = listed.index(number) if number in listed else None
        where = {"run": trajectories.name, **trajectories.address(number)}
        question_id = page.row.question_id
        same = [other for other in trajectories.by_question()[question_id] if other != number]
        return self._render(
            "trajectory.html",
            page=page,
            filter=chosen.to_dict(),
            before=listed[at - 1] if at else None,
            after=listed[at + 1] if at is not None and at + 1 < len(listed) else None,
            place=at,
            count=len(listed),
            here=partial(address, "/trajectory", where, chosen.to_dict()),
            others=[(trajectories, other) for other in same[:24]]
            + [(each, each.by_question()[question_id][0]) for each in self._others(trajectories, question_id)],
        )

    def _others(self, trajectories: TrajectorySet, question_id: str) -> list[TrajectorySet]:
        """Further sets that hold a question."""
        return [each for each in self.runs.sets if each is not trajectories and question_id in each.by_question()]

    def compare(self, request: Request) -> str:
        query = request.query_params
        left, right = self._set(query, "left", 0), self._set(query, "right", 1)
        found = compare(left, right)
        outcome = query.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            raise InputError("compare", "outcome", outcome, f"give one of {', '.join(OUTCOMES)}")
        pairs = [pair for pair in found.pairs if not outcome or pair.outcome == outcome]
        here = partial(address, "/compare", {"left": left.name, "right": right.name, "outcome": outcome})
        render = partial(self._render, left=left, right=right, outcome=outcome, here=here)
        question_id = query.get("question")
        if question_id is None:
            return render("compare.html", **_paged(pairs, query), found=found, outcomes=OUTCOMES)
        at = next((index for index, pair in enumerate(pairs) if pair.question_id == question_id), None)
        if at is None:
            raise InputError("compare", "question", question_id, "give a question that both hold, of this outcome")
        pair = pairs[at]
        number = [
            min(max(0, _whole(name, query.get(name, "0"))), len(numbers) - 1)
            for name, numbers in (("i", pair.left), ("j", pair.right))
        ]
        sides = ((left, pair.left[number[0]], "left-"), (right, pair.right[number[1]], "right-"))
        return render(
            "compare_trajectories.html",
            pair=pair,
            chosen=number,
            place=at,
            count=len(pairs),
            before=pairs[at - 1].question_id if at else None,
            after=pairs[at + 1].question_id if at + 1 < len(pairs) else None,
            cards=[trajectory_page(*side) for side in sides],
            holding=[each for each in self.runs.sets if question_id in each.by_question()],
        )

    def _set(self, query: Mapping[str, str], key: str, place: int) -> TrajectorySet:
        """The set that a query names; without a name the one at a place."""
        if key in query:
            return self.runs.get(query[key])
        found = self.runs.sets[min(place, len(self.runs.sets) - 1)]
        found.refresh()
        return found

    def _render(self, name: str, **values: Any) -> str:
        return self.templates.get_template(name).render(**values)

    def _problem(self, text: str, status: int) -> Response:
        return HTMLResponse(self._render("problem.html", text=text), status)


def address(path: str, *values: Mapping[str, object], **more: object) -> str:
    """A page's address; later values go before earlier ones, empty ones are left out, and halves of surrogate pairs,
    which no address can hold, are replaced."""
    given = {key: value for each in (*values, more) for key, value in each.items()}
    query = {key: str(value).encode("utf-8", "replace") for key, value in given.items() if value not in (None, "")}
    return f"{path}?{urlencode(query, safe='/')}" if query else path


def _trajectory_at(trajectories: TrajectorySet, number: int, *values: Mapping[str, object]) -> str:
    return address("/trajectory", {"run": trajectories.name, **trajectories.address(number)}, *values)


def _segment(given: str) -> SegmentPath | None:
    if not given:
        return None
    if not _ADDRESS.fullmatch(given):
        raise InputError("view", "segment", given[:80], "give numbers with - between, for example 2-5-1")
    return tuple(int(number) for number in given.split("-"))


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


def _whole(name: str, given: str) -> int:
    try:
        return int(given[:20])
    except ValueError:
        raise InputError("viewer", name, given, "give a whole number") from None
