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
    from clipscout.ask.models import Parts


def ask(
    video: given.Video,
    questions: given.Questions = None,
    option: given.Option = None,
    tree_video: given.TreeVideo = None,
    as_json: given.AsJson = False,
    frames: given.Frames = None,
    policy: given.PolicyName = "",
    model: given.Model = "",
    url: given.Url = "",
    temperature: given.Temperature = 0.0,
    caption_url: given.CaptionUrl = "",
    caption_model: given.CaptionModel = "",
    clip_url: given.ClipUrl = "",
    clip_model: given.ClipModel = "",
    frames_per: given.FramesPer = "32,64,128",
    sides: given.Sides = "512,362,256",
    timeout: given.Timeout = 120.0,
    turns: given.Turns = 15,
    cache: given.Cache = None,
    seed: given.Seed = 0,
    prices: given.Prices = None,
    max_usd: given.MaxUsd = None,
) -> None:
    """Ask a video, a subtitle file or a caption tree; without a question, ask for questions until the input ends.

    Captions are written for the segments that are opened, and kept beside the video for the next question.

    Exit code 0 if every question got an answer, 1 if one did not, 2 if something is missing or wrong, 130 on Ctrl-C.
    """
    parts = given.read_parts(
        policy, model, url, temperature, caption_url, caption_model, clip_url, clip_model,
        frames_per, sides, timeout, turns, cache, seed, prices, max_usd,
    )  # fmt: skip
    if option and questions and len(questions) > 1:
        raise InputError("ask", "--option", option, "options belong to one question: ask one, or write `text | A | B`")
    try:
        all_answered = asyncio.run(_session(video, questions or [], option or [], parts, tree_video, as_json, frames))
    except KeyboardInterrupt:
        print("stopped; captions written so far are kept", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(0 if all_answered else 1)


async def _session(
    video: Path, questions: list[str], options: list[str], parts: "Parts", tree_video: Path | None, as_json: bool,
    frames: Path | None,
) -> bool:  # fmt: skip
    from clipscout.ask.material import open_material
    from clipscout.ask.session import ask as ask_one
    from clipscout.ask.session import make_navigator, make_question
    from clipscout.ask.terminal import LiveEpisode, tell_answer
    from clipscout.tree import plain
    from navigation import Limits, Status

    console = Console(stderr=as_json, highlight=False)
    all_answered = True
    async with await open_material(video, parts, tree_video) as material:
        policy = make_navigator(parts)
        if not as_json:
            for note in [*material.notes, *_about(parts)]:
                console.print(plain(note), style="yellow", markup=False)
        for text in _questions(questions, console):
            asked, *listed = [part.strip() for part in text.split(" | ")]
            try:
                question = make_question(material, asked, options or listed)
                if as_json:
                    answer = await ask_one(material, policy, question, lambda event: None, Limits(parts.turns))
                    print(json.dumps(answer.to_dict()), flush=True)
                else:
                    with LiveEpisode(console) as live:
                        answer = await ask_one(material, policy, question, live.tell, Limits(parts.turns))
                    await tell_answer(console, material, answer, frames)
            except InputError as error:
                if questions:
                    raise
                console.print(f"error: {plain(str(error))}", style="red", markup=False)
                all_answered = False
                continue
            all_answered &= answer.status == Status.ANSWERED
    return all_answered


def _about(parts: "Parts") -> Iterator[str]:
    if parts.policy == "descent":
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
