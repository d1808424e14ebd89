"""What the pages of `clipscout serve` and `clipscout view` share: escaping, limits, headers, assets, the server."""

from clipscout.web.guard import Guard, Limits
from clipscout.web.run_app import run_app
from clipscout.web.shown import shown
from clipscout.web.templates import templates

__all__ = ["Guard", "Limits", "run_app", "shown", "templates"]
