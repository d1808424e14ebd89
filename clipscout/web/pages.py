"""Templates, style sheets and scripts of the pages, and texts made safe to be read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import evaluation
from evaluation.style import interval, number, percent, shade
from navigation.grid import clock

# Texts made safe to be read: nothing in them steers a terminal, a browser's text direction or an encoder.
#
# HTML escaping is Jinja's and the DOM's business and comes after this.
# C0 without tab and newline, DEL and C1 (among them ESC and CSI), marks and overrides of direction, line separators,
# BOM, interlinear and tag characters (invisible texts), halves of surrogate pairs. Joiners stay: scripts need them.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def sanitize(text: str) -> str:
    """The same text with every control, direction or invisible character as U+FFFD. Line ends become `\\n`."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def sanitize_all(value: Any) -> Any:
    """`sanitize` applied to every text inside lists and mappings, keys included."""
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, Mapping):
        return {sanitize(str(key)): sanitize_all(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [sanitize_all(each) for each in value]
    return value


REPORT_TEMPLATES = Path(evaluation.__file__).parent / "templates"
"""Where the drawing of a trajectory and the base style come from."""


def templates(*folders: Path) -> Environment:
    """An environment over the given folders, the shared ones behind them."""
    environment = Environment(
        loader=FileSystemLoader([*folders, REPORT_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters |= {"number": number, "percent": percent, "interval": interval, "shade": shade, "clock": clock}
    return environment


def _finalized(value: Any) -> Any:
    return sanitize(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def style_sheet(*paths: Path) -> str:
    """The base style and what follows it, as one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (REPORT_TEMPLATES / "style.css", *paths))


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
