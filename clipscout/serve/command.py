"""`clipscout serve`: the agent as a page and as an OpenAI-compatible endpoint."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipscout.ask import options as given

if TYPE_CHECKING:
    from clipscout.ask.settings import AskSettings


@given.with_settings
def serve(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders or files: videos, SRT or VTT files, caption trees. Nothing else is served."),
    ],
    host: Annotated[str, typer.Option(help="Address to bind; anything but loopback is open to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    sessions: Annotated[int, typer.Option(min=1, help="Episodes at once; more get 503.")] = 64,
    body_mb: Annotated[float, typer.Option(min=0.001, help="Largest request body.")] = 1.0,
    *,
    settings: "AskSettings",
) -> None:
    """Serve the agent: a page to ask and watch, and /v1/chat/completions for programs."""
    from clipscout.serve.app import serve_app
    from clipscout.serve.library import Library
    from clipscout.web import Limits, run_app
    from clipscout.web.server import allowed_hosts

    library = Library(sources)
    silent = sum(entry.kind == "video" for entry in library.entries) if not settings.captioner.url else 0
    print(f"{len(library.entries)} to ask about; policy {settings.policy}", file=sys.stderr)
    if silent:
        print(f"note: no --caption-url: of {silent} videos, those without subtitles cannot be asked", file=sys.stderr)
    limits = Limits(round(body_mb * 1_000_000), requests=4 * sessions)
    app = serve_app(library, settings, sessions, limits, allowed_hosts(host))
    run_app(app, host, port, "ask")
