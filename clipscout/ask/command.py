"""`clipscout ask`: ask a video."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from clipscout.ask import options as given
from navigation import InputError

if TYPE_CHECKING:
    from clipscout.ask.settings import AskSettings


@given.with_settings
def ask(
    video: given.Video,
    questions: given.Questions = None,
    option: given.Option = None,
    tree_video: given.TreeVideo = None,
    as_json: given.AsJson = False,
    frames: given.Frames = None,
    *,
    settings: "AskSettings",
) -> None:
    """Ask a video, a subtitle file or a caption tree; without a question, ask for questions until the input ends.

    Captions are written for the segments that are opened, and kept beside the video for the next question.

    Exit code 0 if every question got an answer, 1 if one did not, 2 if something is missing or wrong, 130 on Ctrl-C.
    """
    if option and questions and len(questions) > 1:
        raise InputError("ask", "--option", option, "options belong to one question: ask one, or write `text | A | B`")
    try:
        all_answered = asyncio.run(
            _session(video, questions or [], option or [], settings, tree_video, as_json, frames)
        )
    except KeyboardInterrupt:
        print("stopped; captions written so far are kept", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(0 if all_answered else 1)


async def _session(
    video: Path,
    questions: list[str],
    options: list[str],
    settings: "AskSettings",
    tree_video: Path | None,
    as_json: bool,
    frames: Path | None,
) -> bool:
    from clipscout.ask.policies import choose_policy
    from clipscout.ask.session import ask as ask_one
    from clipscout.ask.session import make_question
    from clipscout.ask.terminal import LiveEpisode, print_answer
    from clipscout.ask.video_source import open_source
    from clipscout.tree import plain
    from navigation import Limits, Status

    console = Console(stderr=as_json, highlight=False)
    all_answered = True
    async with await open_source(video, settings, tree_video) as source:
        policy, limits = choose_policy(settings), Limits(settings.turns)
        if not as_json:
            for note in [*source.notes, *_about(settings)]:
                console.print(plain(note), style="yellow", markup=False)
        for text in _questions(questions, console):
            asked, *listed = [each.strip() for each in text.split(" | ")]
            try:
                question = make_question(source, asked, options or listed)
                if as_json:
                    answer = await ask_one(source, policy, question, lambda event: None, limits, settings.tools)
                    print(json.dumps(answer.to_dict()), flush=True)
                else:
                    with LiveEpisode(console) as live:
                        answer = await ask_one(source, policy, question, live.tell, limits, settings.tools)
                    await print_answer(console, source, answer, frames)
            except InputError as error:
                if questions:
                    raise
                console.print(f"error: {plain(str(error))}", style="red", markup=False)
                all_answered = False
                continue
            all_answered &= answer.status == Status.ANSWERED
    return all_answered


def _about(settings: "AskSettings") -> Iterator[str]:
    if settings.policy == "descent":
        yield "No model navigates: the rule `descent` does. --model gives a trained one."


def _questions(questions: list[str], console: Console) -> Iterator[str]:
    """Those of the command line, or lines of the standard input until it ends."""
    if questions:
        yield from questions
        return
    if sys.stdin.isatty():
        console.print("A question a line; options after ` | `. Ctrl-D ends.", style="dim", markup=False)
    while True:
        if sys.stdin.isatty():
            console.print("? ", end="", style="bold")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line
