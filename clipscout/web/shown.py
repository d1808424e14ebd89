"""Texts made safe to be read: nothing in them steers a terminal, a browser's text direction or an encoder.

HTML escaping is Jinja's and the DOM's business and comes after this.
"""

import re
from collections.abc import Mapping
from typing import Any

# C0 without tab and newline, DEL and C1 (among them ESC and CSI), marks and overrides of direction, line separators,
# BOM, interlinear and tag characters (invisible texts), halves of surrogate pairs. Joiners stay: scripts need them.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """The same text with every control, direction or invisible character as U+FFFD. Line ends become `\\n`."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def all_shown(value: Any) -> Any:
    """`shown` applied to every text inside lists and mappings, keys included."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {shown(str(key)): all_shown(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [all_shown(each) for each in value]
    return value
