"""The server's application: page, page API, chat API, behind one guard; bodies of requests and replies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clipscout.ask.policies import MODELS, choose_policy
from clipscout.ask.settings import AskSettings, LimitReached, ModelUnavailable
from clipscout.serve.episodes import Busy, EpisodeRunner
from clipscout.serve.library import Library
from clipscout.serve.openai_api import OpenAIApi
from clipscout.serve.page_api import PageApi
from clipscout.serve.requests import json_reply
from clipscout.web import Guard, Limits, templates
from clipscout.web.pages import asset_route, style_sheet
from clipscout.web.server import LOOPBACK, POLICY_WITH_SCRIPT, App
from navigation import InputError, Policy

HERE = Path(__file__).parent
VIEW_STYLE = HERE.parent / "view" / "static" / "view.css"


def serve_app(
    library: Library,
    settings: AskSettings,
    sessions: int = 64,
    limits: Limits | None = None,
    hosts: tuple[str, ...] | None = LOOPBACK,
    policy: Policy | None = None,
) -> App:
    """Everything under one address.

    Args:
        library: What may be asked about.
        settings: Which models do the work.
        sessions: Episodes at once; more get 503.
        limits: Of requests.
        hosts: Names the server may be called by.
        policy: Default: the one that `settings` name, made when the server starts.
    """
    runner = EpisodeRunner(settings, policy or choose_policy(settings), sessions)
    page_api, openai_api = PageApi(library, runner), OpenAIApi(library, runner)
    page = (
        templates(HERE / "templates")
        .get_template("ask.html")
        .render(policy=runner.policy.name, is_rule=settings.policy not in MODELS)
    )

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    async def health(request: Request) -> Response:
        return json_reply({"status": "ok", "navigating": runner.playing, "finished": runner.finished})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Each episode may wait in a tool, and each page for frames.
        threads = ThreadPoolExecutor(sessions + 32, "tools")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            yield
        finally:
            await runner.close()
            threads.shutdown(wait=False, cancel_futures=True)

    assets = {"app.js": HERE / "static" / "app.js", "timeline.js": HERE / "static" / "timeline.js"}
    style = style_sheet(VIEW_STYLE, HERE / "static" / "serve.css")
    routes = [
        Route("/", index),
        Route("/healthz", health),
        *page_api.routes,
        *openai_api.routes,
        asset_route({**assets, "serve.css": style}),
    ]
    handlers = {
        LimitReached: _spent,
        ModelUnavailable: _unavailable,
        InputError: _wrong,
        Busy: _busy,
        HTTPException: _http_error,
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return Guard(app, limits, POLICY_WITH_SCRIPT, hosts)


async def _wrong(request: Request, error: Exception) -> Response:
    return _error(400, str(error), "invalid_request_error")


async def _unavailable(request: Request, error: Exception) -> Response:
    return _error(502, str(error), "server_error")


async def _spent(request: Request, error: Exception) -> Response:
    return _error(503, str(error), "insufficient_quota")


async def _busy(request: Request, error: Exception) -> Response:
    response = _error(503, "as many episodes as are allowed are under way; try again", "server_busy")
    response.headers["retry-after"] = "1"
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, "invalid_request_error")


def _error(status: int, message: str, kind: str) -> Response:
    return json_reply({"error": {"message": message, "type": kind, "code": status}}, status)
