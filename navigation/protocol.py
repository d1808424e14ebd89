"""How transcripts become text and back: native Qwen3 tool calling.

One template for SFT, GRPO, evaluation and serving.
"""

import hashlib
import json
from importlib import resources
from typing import Any

_FOLDER = resources.files("navigation") / "chat_templates"


def chat_template() -> str:
    """The Jinja chat template that every checkpoint carries."""
    return (_FOLDER / "qwen3.jinja").read_text(encoding="utf-8")


def response_template() -> dict[str, Any]:
    """How `tokenizer.parse_response` reads reasoning, tool calls and content back from generated text."""
    return json.loads((_FOLDER / "qwen3_response.json").read_text(encoding="utf-8"))


def template_hash(template: str) -> str:
    """Short fingerprint of a chat template, for run records and for the check at load."""
    return hashlib.sha256(template.encode()).hexdigest()[:12]
