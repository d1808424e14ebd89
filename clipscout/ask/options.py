"""Command-line options that `ask` and `serve` share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from navigation import InputError

if TYPE_CHECKING:
    from clipscout.ask.settings import AskSettings

Video = Annotated[Path, typer.Argument(help="A video, an SRT or VTT file, or a caption tree (JSON).")]
Questions = Annotated[list[str] | None, typer.Argument(help="Questions; options after ` | `. None: read from stdin.")]
Option = Annotated[list[str] | None, typer.Option("--option", "-o", help="An answer to choose from; repeat it.")]
TreeVideo = Annotated[Path | None, typer.Option("--video", help="The video of a caption tree.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a question on stdout, nothing else there.")]
Frames = Annotated[Path | None, typer.Option("--frames-to", help="Folder for the evidence's frames as JPEG files.")]
PolicyName = Annotated[
    str,
    typer.Option(
        "--policy",
        help="descent, uniform, random, exhaustive, best_first, coarse_to_fine, spotlight, local or endpoint; default: "
        "what --url or --model say, else descent.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        envvar="CLIPSCOUT_MODEL",
        help="Trained model that navigates: folder or Hub name; with --url, its name there.",
    ),
]
Url = Annotated[str, typer.Option(envvar="CLIPSCOUT_URL", help="OpenAI-compatible endpoint of that model.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="Of the model that navigates.")]
CaptionUrl = Annotated[str, typer.Option(envvar="CLIPSCOUT_CAPTION_URL", help="Endpoint of a vision model: captions.")]
CaptionModel = Annotated[str, typer.Option(envvar="CLIPSCOUT_CAPTION_MODEL", help="Its model.")]
ClipUrl = Annotated[str, typer.Option(envvar="CLIPSCOUT_CLIP_URL", help="Endpoint for video_qa; default: captions'.")]
ClipModel = Annotated[str, typer.Option(envvar="CLIPSCOUT_CLIP_MODEL", help="Its model.")]
FramesPer = Annotated[str, typer.Option("--frames", help="Frames of a segment to caption by level, leaves first.")]
Sides = Annotated[str, typer.Option(help="Their longest side in px by level, leaves first.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds until a request is given up.")]
Turns = Annotated[int, typer.Option(min=1, help="Most turns of an episode.")]
Tools = Annotated[str, typer.Option(help="Of get_caption,video_qa,search,jump; default: what the model knows.")]
SearchResults = Annotated[int | None, typer.Option(help="Most lines of a search's reply; default: the model's, or 5.")]
SearchWords = Annotated[int | None, typer.Option(help="Most words of such a line; default: the model's, or 20.")]
SearchSources = Annotated[str, typer.Option(help="What is searched; default: the model's, or captions,speech,screen.")]
SearchEmbedder = Annotated[str, typer.Option(help="A sentence-transformers model to search by meaning too.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of captions; default: .clipscout beside the video.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Prices = Annotated[Path | None, typer.Option(help="Price table (YAML).")]
Lines = Annotated[str, typer.Option(help="Where lines come from: auto, or some of subtitles,speech,screen.")]
SubtitleLanguage = Annotated[str, typer.Option(help="Which subtitles to read, as en, where there are several.")]
AudioLanguage = Annotated[str, typer.Option(help="Which sound track to hear, as en, where there are several.")]
SpeechModel = Annotated[
    str,
    typer.Option(
        envvar="CLIPSCOUT_SPEECH_MODEL", help="Whisper model that hears: a folder, or a name such as small.en."
    ),
]
SpeechUrl = Annotated[
    str, typer.Option(envvar="CLIPSCOUT_SPEECH_URL", help="Endpoint that hears instead: /v1/audio/transcriptions.")
]
SpeechLanguage = Annotated[str, typer.Option(help="Language that is spoken, as en; found out if empty.")]
Request = Annotated[str, typer.Option(help="How requests are written: a preset such as openai-reasoning, or YAML.")]
MaxUsd = Annotated[float | None, typer.Option(help="Stop before more than this is spent by this process.")]


def read_settings(
    policy: PolicyName = "",
    model: Model = "",
    url: Url = "",
    temperature: Temperature = 0.0,
    caption_url: CaptionUrl = "",
    caption_model: CaptionModel = "",
    clip_url: ClipUrl = "",
    clip_model: ClipModel = "",
    frames_per: FramesPer = "32,64,128",
    sides: Sides = "512,362,256",
    timeout: Timeout = 120.0,
    turns: Turns = 15,
    tools: Tools = "",
    search_results: SearchResults = None,
    search_words: SearchWords = None,
    search_sources: SearchSources = "",
    search_embedder: SearchEmbedder = "",
    cache: Cache = None,
    seed: Seed = 0,
    prices: Prices = None,
    max_usd: MaxUsd = None,
    request: Request = "",
    lines: Lines = "auto",
    subtitle_language: SubtitleLanguage = "",
    audio_language: AudioLanguage = "",
    speech_model: SpeechModel = "",
    speech_url: SpeechUrl = "",
    speech_language: SpeechLanguage = "",
) -> "AskSettings":
    """Options to `AskSettings`; the defaults are those of the command line.

    Raises:
        InputError: frames or sides that are no whole numbers, a source of lines that cannot be, half of an endpoint, a
            limit on money that is not above 0, or one with a model that the price table does not know.
    """
    # Here, so that the command line's help need not wait for the endpoint client's import.
    from clipscout.ask.settings import AskSettings, Server
    from data_gen.lines.settings import line_settings
    from navigation import SearchSettings, read_tools
    from runtime import Budget
    from runtime.budget import PRICES

    if max_usd is not None and not max_usd > 0:
        raise InputError("command line", "--max-usd", max_usd, "give a number above 0, or leave it out")
    if not policy:
        policy = "endpoint" if url else "local" if model else "descent"
    trained_tools, trained_search = _trained("" if url else model)
    told = {"count": search_results, "words": search_words, "sources": search_sources, "embedder": search_embedder}
    settings = AskSettings(
        policy=policy,
        checkpoint="" if url else model,
        temperature=temperature,
        policy_server=Server(url, model if url else "", timeout, request),
        captioner=Server(caption_url, caption_model, timeout, request),
        clips=Server(clip_url, clip_model, timeout, request),
        frames=_numbers("--frames", frames_per),
        sides=_numbers("--sides", sides),
        turns=turns,
        tools=read_tools(tools, "command line") if tools else trained_tools,
        search=SearchSettings.from_config(
            trained_search | {name: value for name, value in told.items() if value not in (None, "")}
        ),
        cache=cache,
        seed=seed,
        prices=prices or PRICES,
        lines=line_settings(lines, subtitle_language, audio_language, speech_model, speech_url, speech_language),
        budget=Budget(max_usd),
    )
    for what, server in (("policy", settings.policy_server), ("caption", settings.captioner), ("clip", settings.clips)):
        endpoint = server.endpoint_settings(what)
        if endpoint is not None:
            # Refuses a model without a price where there is a limit, before anything is opened.
            settings.endpoint(endpoint)
    return settings


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of `read_settings` in the place of its parameter `settings`."""
    shared, own = inspect.signature(read_settings).parameters, inspect.signature(command).parameters

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        settings = read_settings(**{name: values.pop(name) for name in shared})
        command(**values, settings=settings)

    kept = [parameter for name, parameter in own.items() if name != "settings"]
    wrapped.__signature__ = inspect.Signature([*kept, *shared.values()])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*kept, *shared.values())}
    return wrapped


def _trained(checkpoint: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The tools and the search that a checkpoint was trained with, where its record says so."""
    from navigation import DEFAULT_TOOLS

    if not checkpoint:
        return DEFAULT_TOOLS, {}
    # Not before it is needed: it loads torch, as the checkpoint will.
    from trainer.checkpoint import read_record, search_of, tools_of

    record = read_record(checkpoint)
    search = search_of(record)
    return tools_of(record), asdict(search) if search is not None else {}


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError("command line", name, text, "give whole numbers with commas between, leaves first") from None
