"""Style sheets and scripts of the pages, read once at start: a request never names a path."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def asset_route(files: Mapping[str, Path | str]) -> Route:
    """The route `/static/<name>` over the given names; a value is a file, or the text itself."""
    contents = {
        name: each.read_text(encoding="utf-8") if isinstance(each, Path) else each for name, each in files.items()
    }

    async def serve(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in contents:
            return PlainTextResponse("not found", 404)
        return Response(contents[name], media_type=_TYPES[Path(name).suffix], headers={"cache-control": "max-age=300"})

    return Route("/static/{name}", serve)
