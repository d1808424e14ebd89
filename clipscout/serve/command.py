"""`clipscout serve`: the agent as a page and as an OpenAI-compatible endpoint."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from clipscout.ask import options as given


def serve(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders or files: videos, SRT or VTT files, caption trees. Nothing else is served."),
    ],
    host: Annotated[str, typer.Option(help="Address to bind; anything but loopback is open to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    sessions: Annotated[int, typer.Option(min=1, help="Episodes at once; more get 503.")] = 64,
    body_mb: Annotated[float, typer.Option(min=0.001, help="Largest request body.")] = 1.0,
    policy: given.PolicyName = "",
    model: given.Model = "",
    url: given.Url = "",
    temperature: given.Temperature = 0.0,
    caption_url: given.CaptionUrl = "",
    caption_model: given.CaptionModel = "",
    clip_url: given.ClipUrl = "",
    clip_model: given.ClipModel = "",
    frames_per: given.FramesPer = "32,64,128",
    sides: given.Sides = "512,362,256",
    timeout: given.Timeout = 120.0,
    turns: given.Turns = 15,
    cache: given.Cache = None,
    seed: given.Seed = 0,
    prices: given.Prices = None,
    max_usd: given.MaxUsd = None,
) -> None:
    """Serve the agent: a page to ask and watch, and /v1/chat/completions for programs."""
    from clipscout.serve.app import serve_app
    from clipscout.serve.library import Library
    from clipscout.web import Limits, run_app
    from clipscout.web.server import allowed_hosts

    parts = given.read_parts(
        policy, model, url, temperature, caption_url, caption_model, clip_url, clip_model,
        frames_per, sides, timeout, turns, cache, seed, prices, max_usd,
    )  # fmt: skip
    library = Library(sources)
    silent = sum(entry.kind == "video" for entry in library.entries) if not parts.captioner.url else 0
    print(f"{len(library.entries)} to ask about; policy {parts.policy}", file=sys.stderr)
    if silent:
        print(f"note: no --caption-url: of {silent} videos, those without subtitles cannot be asked", file=sys.stderr)
    limits = Limits(round(body_mb * 1_000_000), requests=4 * sessions)
    app = serve_app(library, parts, sessions, limits, allowed_hosts(host))
    run_app(app, host, port, "ask")
