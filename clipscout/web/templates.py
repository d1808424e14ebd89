"""One Jinja environment a page family: autoescape on, a missing name is an error, steering characters never pass."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import evaluation
from clipscout.web.shown import shown
from evaluation.style import interval, number, percent
from navigation.grid import clock, format_path

REPORT_TEMPLATES = Path(evaluation.__file__).parent / "templates"
"""Where the drawing of a walk and the base style come from."""


def templates(*folders: Path) -> Environment:
    """An environment over the given folders, the shared ones behind them."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent / "templates", REPORT_TEMPLATES]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalized,
    )  # fmt: skip
    environment.filters |= {
        "number": number, "percent": percent, "interval": interval, "clock": clock, "path": format_path,
    }  # fmt: skip
    return environment


def _finalized(value: Any) -> Any:
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def style_sheet(*paths: Path) -> str:
    """The base style and what follows it, as one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (REPORT_TEMPLATES / "style.css", *paths))
