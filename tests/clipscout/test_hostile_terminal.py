"""Hostile texts in every field that `clipscout ask` prints reach the terminal without anything that steers it."""

import io
import re
import unicodedata

import pytest
from rich.console import Console

from clipscout.ask.answer import Answer, Cost, Evidence
from clipscout.ask.terminal import LiveEpisode, print_answer
from clipscout.tree import plain
from tests.clipscout.hostile import DIRECTIONS, EVERY, TERMINAL

OWN = re.compile(r"\x1b\[[0-9;]*m")
"""Colours, which rich writes itself."""


class NoVideo:
    async def thumbnails(self, path):
        return None


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=200, highlight=False)


def events(text):
    yield {"type": "begin", "question": text, "duration": 90.0, "width": 3, "depth": 2, "options": [text]}
    yield {"type": "thinking", "turn": 1}
    yield {"type": "turn", "turn": 1, "reasoning": text, "content": text, "prompt_tokens": 1, "completion_tokens": 1}
    yield {"type": "opening", "tool": text, "path": [1, 1], "query": text}
    yield {
        "type": "opened",
        "tool": "video_qa",
        "path": [1, 1],
        "start": 0.0,
        "end": 10.0,
        "query": text,
        "reply": text,
    }
    yield {"type": "refused", "tool": text, "path": None, "reply": text}
    yield {"type": text, "anything": text}


def answer(text, status="answered"):
    cost = Cost(1, 1.0, 12, 0.1, 1, 1, 0, {}, 0.0, {"visits": 9, "captions_to_make": 0, "prompt_tokens": 10})
    evidence = [Evidence((1, 1), 0.0, 10.0, text, ((text, text),))]
    return Answer(text, text, text, (text,), text, "A", status, text, text, evidence, cost, [])


def check(said, terminal):
    """What was printed, without rich's own colours where there may be any."""
    left = OWN.sub("", said) if terminal else said
    steering = {sign for sign in left if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}
    assert steering == set()
    return left


@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
async def test_nothing_steers_the_terminal(terminal):
    for text in EVERY:
        screen = console(terminal)
        episode = LiveEpisode(screen)
        for event in events(text):
            episode.tell(event)
        screen.print(episode._render())
        for status in ("answered", "failed"):
            await print_answer(screen, NoVideo(), answer(text, status), None)
        left = check(screen.file.getvalue(), terminal)
        squeezed = "".join(left.split())
        start = "".join(plain(text).split())[:20]
        assert start in squeezed, text


def test_the_check_sees_what_it_looks_for():
    for text in (*TERMINAL, *DIRECTIONS):
        if not text.isprintable():
            with pytest.raises(AssertionError):
                check(text, terminal=False)
