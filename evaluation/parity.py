"""Whether a server renders the prompts that a checkpoint was trained on, and under which name it takes reasoning.

A server renders messages and tools by itself: what it drops, renames or adds makes another prompt than the one trained,
and the same checkpoint then plays like another one. A short episode with both tools is rendered here and there:

- `tokens`: vLLM's `/tokenize` renders messages, and tokenizes our text by the server's own tokenizer;
- `text`: llama.cpp's `/apply-template` gives the rendered text;
- `count`: any server's usage, of one token asked as chat and of one asked as text. It costs requests, so it must be
  asked for.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from evaluation.policies.endpoint import REASONING_FIELD, wire_messages
from navigation import (
    TOOLS,
    CaptionTree,
    InputError,
    Question,
    TimeGrid,
    answer_message,
    assistant_message,
    initial_messages,
)
from navigation.prompt import caption_line, chat_template
from runtime import EndpointSettings

CHECKS = ("auto", "count", "require", "off")
"""Ways to check: with what the server renders; also by counting; and end the run if they differ; not at all."""
REASONING_FIELDS = ("reasoning", "reasoning_content", None)
"""Under which earlier turns' reasoning may be sent, in the order of trying; None: left out."""
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found.

    Args:
        method: `tokens`, `text`, `count`, or "" if the server offers none of them.
        same: Whether what is served is what was trained; None if it could not be checked.
        reasoning_field: The field under which the server takes reasoning; None if it takes none, or nobody knows.
        detail: In words: how much was compared, or where the first difference is.
    """

    method: str
    same: bool | None
    reasoning_field: str | None
    detail: str

    def __str__(self) -> str:
        if self.same is None:
            return f"whether its prompts are those that were trained is not known: {self.detail}"
        if not self.same:
            return (
                f"its prompts are not those that ClipScout trains on ({self.detail}). A checkpoint of ClipScout plays "
                "far below its own there; a model that was trained elsewhere is asked in its own way"
            )
        field = "left out" if self.reasoning_field is None else f"sent as {self.reasoning_field}"
        return f"its prompts are those that were trained: {self.detail}, reasoning {field}"


def sample_episode() -> list[dict[str, Any]]:
    """A short episode with reasoning, both tools and characters that escape differently from engine to engine."""
    grid = TimeGrid(270.0, 3, 2)
    captions = {path: f'It\'s <b> & "caption" of {list(path)} – é 漢' for path in grid.paths()}
    tree = CaptionTree("v", grid, captions)
    question = Question("q", "v", "What's in the man's \"bag\" <here>?", ("A key & a map", "Nothing"), "A")
    return [
        *initial_messages(question, tree),
        assistant_message('[2] says "bag".\nOpen [2, 1].', calls=[("get_caption", {"segment": [2, 1]})]),
        {"role": "tool", "name": "get_caption", "content": caption_line(grid, (2, 1), captions[(2, 1)])},
        assistant_message("Ask.", calls=[("video_qa", {"segment": [2, 1], "query": 'What\'s in the "bag"? – é'})]),
        {"role": "tool", "name": "video_qa", "content": "A key."},
        answer_message("A key & a map.", "A"),
        {"role": "user", "content": "Sure?"},
    ]


def turns_of(messages: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The transcripts of which an assistant turn is asked: everything before each of them, and the whole."""
    ends = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    return [list(messages[:end]) for end in (*ends, len(messages))]


def rendered(messages: list[dict[str, Any]]) -> str:
    """The prompt's text as every stage of training renders it."""
    from transformers.utils.chat_template_utils import render_jinja_template

    tools: list[Any] = [*TOOLS]
    texts = render_jinja_template([messages], tools=tools, chat_template=chat_template(), add_generation_prompt=True)[0]
    return texts[0]


async def choose_reasoning_field(settings: EndpointSettings, check: str = "auto", field: str = "auto") -> str | None:
    """The field for `EndpointPolicy`, after a check that is told on standard error.

    Raises:
        InputError: an unknown word; or `require`, and what is served is not known to be what was trained.
    """
    if check not in CHECKS:
        raise InputError("policy endpoint", "parity", check, f"give one of {', '.join(CHECKS)}")
    known = [name or "none" for name in REASONING_FIELDS]
    if field not in (*known, "auto"):
        raise InputError("policy endpoint", "reasoning_field", field, f"give auto or one of {', '.join(known)}")
    chosen = None if field == "none" else REASONING_FIELD if field == "auto" else field
    if check == "off":
        return chosen
    found = await check_parity(settings, check in ("count", "require"), field)
    if check == "require" and not found.same:
        hint = "serve the checkpoint under its own chat template, with nothing added: " + found.detail
        raise InputError(settings.url, "prompts", found.same, hint)
    print(f"{settings.url}: {found}", file=sys.stderr)
    return found.reasoning_field if found.same else chosen


async def check_parity(settings: EndpointSettings, ask: bool = False, field: str = "auto") -> Parity:
    """Compares what a server renders with what was trained, turn by turn.

    Args:
        settings: The server; the key comes from OPENAI_API_KEY.
        ask: Whether two requests of one token a turn may be sent where the server renders no prompts.
        field: Of earlier reasoning: `reasoning`, `reasoning_content`, `none`, or `auto` to find out.
    """
    fields = REASONING_FIELDS if field == "auto" else (None if field == "none" else field,)
    async with _Server(settings) as server:
        for method in (server.tokens, server.text, *((server.count,) if ask else ())):
            findings = []
            for name in fields:
                findings.append(await _compare(method, name))
                if findings[-1].same:
                    return findings[-1]
            told = [finding for finding in findings if finding.same is not None]
            if told:
                return told[0]
    hint = "the server renders no prompts that could be compared" + ("" if ask else "; by count it can be checked")
    return Parity("", None, None if field in ("auto", "none") else field, hint)


async def _compare(method: Any, field: str | None) -> Parity:
    compared = 0
    for messages in turns_of(sample_episode()):
        found = await method(wire_messages(messages, field), rendered(messages))
        if found is None:
            return Parity(method.__name__, None, field, "not offered")
        length, difference = found
        if difference:
            return Parity(method.__name__, False, field, f"after {len(messages)} messages: {difference}")
        compared += length
    return Parity(
        method.__name__, True, field, f"{compared} {method.__name__} of {len(turns_of(sample_episode()))} turns"
    )


class _Server:
    """The few requests of the check. Each method gives how much was equal and the first difference, or None."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.base, self.model = settings.base_url, settings.model
        self.root = self.base.removesuffix("/v1")

    async def __aenter__(self) -> "_Server":
        key = os.environ.get("OPENAI_API_KEY", "").strip() or "none"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"}, timeout=aiohttp.ClientTimeout(TIMEOUT)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def tokens(self, messages: list[dict[str, Any]], text: str) -> tuple[int, str] | None:
        asked = {"messages": messages, "tools": TOOLS, "add_generation_prompt": True}
        theirs = await self._post(f"{self.root}/tokenize", asked)
        ours = await self._post(f"{self.root}/tokenize", {"prompt": text, "add_special_tokens": False})
        if theirs is None or ours is None or "tokens" not in theirs or "tokens" not in ours:
            return None
        left, right = theirs["tokens"], ours["tokens"]
        if left == right:
            return len(left), ""
        place = _first_difference(left, right)
        served, trained = [await self._words(ids[place : place + 8]) for ids in (left, right)]
        return 0, f"at token {place} of {len(right)} it serves {served!r} where {trained!r} was trained"

    async def text(self, messages: list[dict[str, Any]], text: str) -> tuple[int, str] | None:
        found = await self._post(f"{self.root}/apply-template", {"messages": messages, "tools": TOOLS})
        if found is None or not isinstance(found.get("prompt"), str):
            return None
        theirs = found["prompt"]
        if theirs == text:
            return len(text), ""
        place = _first_difference(theirs, text)
        served, trained = theirs[place : place + 40], text[place : place + 40]
        return 0, f"at character {place} it serves {served!r} where {trained!r} was trained"

    async def count(self, messages: list[dict[str, Any]], text: str) -> tuple[int, str] | None:
        one = {"max_tokens": 1, "temperature": 0}
        chat = await self._post(f"{self.base}/chat/completions", {"messages": messages, "tools": TOOLS, **one})
        plain = await self._post(f"{self.base}/completions", {"prompt": text, **one})
        theirs, ours = (((found or {}).get("usage") or {}).get("prompt_tokens") for found in (chat, plain))
        if not isinstance(theirs, int) or not isinstance(ours, int):
            return None
        return (ours, "") if theirs == ours else (0, f"it serves {theirs} tokens where {ours} were trained")

    async def _words(self, ids: list[int]) -> str:
        found = await self._post(f"{self.root}/detokenize", {"tokens": ids})
        return str((found or {}).get("prompt", ids))

    async def _post(self, url: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The reply's object; None if the server does not know the address or refuses the body."""
        try:
            async with self._session.post(url, json={"model": self.model, **body}) as reply:
                if reply.status != 200:
                    return None
                found = await reply.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _first_difference(left: Sequence[Any], right: Sequence[Any]) -> int:
    differing = (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differing, min(len(left), len(right)))
