"""What the pages of `clipscout serve` and `clipscout view` share: escaping, limits, headers, assets, the server."""

from clipscout.web.pages import sanitize, templates
from clipscout.web.server import Guard, Limits, run_app

__all__ = ["Guard", "Limits", "run_app", "sanitize", "templates"]
