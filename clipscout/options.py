"""One dataclass of options a stage: the flags of its command, the keys of its YAML, and the copy beside its run."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

import dataclasses
import errno
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import typer

from clipscout.tree import plain
from navigation import InputError

if TYPE_CHECKING:
    from runtime.ranked_run import RankedJob

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def option(help: str, default: Any = MISSING, group: str = "Options", once: bool = False) -> Any:
    """A field of an options dataclass; without a default it must be given.

    Args:
        help: What it decides, for the command's help.
        default: Its value where neither file nor flag gives one.
        group: Panel of the help it stands in.
        once: Says something about this call and not about the run: left out of the resolved copy.
    """
    return dataclasses.field(default=default, metadata={"help": help, "group": group, "once": once})


@dataclass(kw_only=True)
class StageOptions:
    """What every stage has."""

    dry_run: bool = option("Check everything, print the resolved config, do nothing.", False, once=True)

    @property
    def folder(self) -> Path:
        """Where the resolved copy goes."""
        raise NotImplementedError

    def resolved(self) -> dict[str, Any]:
        """Every option of the run as it took effect, as YAML holds it."""
        from runtime.config_file import without_secrets  # not before it is needed: `runtime` loads its HTTP client

        kept = [each.name for each in dataclasses.fields(self) if not each.metadata["once"]]
        return without_secrets({name: _plain(getattr(self, name)) for name in kept})


ENDPOINT, EXECUTOR, TOOLS = "Endpoint", "Executor", "Tools"


@dataclass(kw_only=True)
class ToolOptions:
    """Which tools an episode has, and what a search tells."""

    tools: tuple[str, ...] = option("Of get_caption, video_qa, search, jump.", ("get_caption", "video_qa"), TOOLS)
    search_results: int = option("Most lines of a search's reply.", 5, TOOLS)
    search_words: int = option("Most words of such a line.", 20, TOOLS)
    search_sources: tuple[str, ...] = option(
        "What is searched: captions, speech, screen, annotation, lines.", ("captions", "speech", "screen"), TOOLS
    )
    search_embedder: str = option("A sentence-transformers model to search by meaning too.", "", TOOLS)

    def tool_settings(self) -> dict[str, Any]:
        """`tools` and `search` of a stage.

        Raises:
            InputError: a tool or source that is not there, or a number below 1.
        """
        from navigation import SearchSettings, read_tools

        search = SearchSettings(self.search_results, self.search_words, self.search_sources, self.search_embedder)
        return {"tools": read_tools(self.tools, "command line"), "search": search}


@dataclass(kw_only=True)
class RequestOptions:
    """How an endpoint is asked."""

    in_flight: int = option("Ceiling on requests at once.", 64, ENDPOINT)
    attempts: int = option("Requests for one reply before it counts as failed.", 8, ENDPOINT)
    timeout: float = option("Seconds until a request is given up.", 600.0, ENDPOINT)
    prices: Path | None = option("Price table (YAML).", None, ENDPOINT)
    max_usd: float | None = option("Stop before more than this is spent on the folder.", None, ENDPOINT)
    request: str = option(
        "How requests are written: default, openai-reasoning, vllm, sglang, gemini, mistral, or a YAML file.",
        "default",
        ENDPOINT,
    )

    def endpoint(self, url: str, model: str) -> Any:
        """`EndpointSettings` of a model."""
        from runtime import BodyOptions, EndpointSettings

        body = BodyOptions.load(self.request)
        return EndpointSettings(url, model, self.in_flight, self.attempts, self.timeout, body=body)

    def check_price(self, url: str, model: str) -> None:
        """Refuses what `Endpoint` refuses, without a request: a limit on money for a model without a price."""
        from runtime import Budget, Endpoint, PriceTable
        from runtime.budget import PRICES

        Endpoint(self.endpoint(url, model), PriceTable(self.prices or PRICES), Budget(self.max_usd))


@dataclass(kw_only=True)
class ExecutorOptions:
    """Where a stage's shares are worked on."""

    executor: str = option("local, slurm or ray.", "local", EXECUTOR)
    tasks: int = option("Shares of the work; on this machine, processes.", 1, EXECUTOR)
    rank: int | None = option("Do this share only, from 0, for a scheduler's arrays.", None, EXECUTOR, once=True)
    partition: str = option("Slurm partition.", "", EXECUTOR)
    time_limit: str = option("Slurm time limit.", "24:00:00", EXECUTOR)
    venv: Path | None = option("The environment's activate file, for Slurm.", None, EXECUTOR)
    check: bool = option("Do no work: write out and say what is there and what is missing.", False, once=True)
    quiet: bool = option("No progress.", False, once=True)

    def executor_options(self, job_name: str, **more: Any) -> dict[str, Any]:
        """What `make_executor` takes besides its name."""
        if self.executor != "slurm":
            return {}
        venv = {"venv_path": str(self.venv)} if self.venv else {}
        return {"partition": self.partition, "time": self.time_limit, "job_name": job_name, **more, **venv}


class _Report(Protocol):
    @property
    def complete(self) -> bool: ...

    def lines(self) -> list[str]: ...


def tell_report(report: _Report) -> int:
    """Prints a stage's report; returns the exit code, 1 if anything is missing."""
    for line in report.lines():
        typer.echo(plain(line))
    return 0 if report.complete else 1


def run_job(options: "ExecutorOptions", job: "RankedJob[Any]", name: str, **slurm: Any) -> int:
    """Runs a stage over ranks as its options say: here, as one rank, on an executor, or a look at what is there.

    Args:
        name: Of the Slurm job.
        slurm: What such a job asks for.

    Returns:
        The exit code, 1 if anything is missing.
    """
    from runtime.ranked_run import collect_run, run_ranks, run_share

    if options.check:
        return tell_report(collect_run(job))
    if options.rank is not None:
        return tell_report(run_share(job, options.rank, options.quiet))
    report = run_ranks(job, options.executor, options.quiet, **options.executor_options(name, **slurm))
    if options.executor == "slurm":
        typer.echo("submitted; the same command with --check writes out what is there")
        return 0
    return tell_report(report)


def tell_limit(limit: int | None, seed: int, source: str = "questions") -> None:
    """Says on the terminal that a run is on a sample."""
    if limit is not None:
        typer.echo(f"--limit {limit}: a random sample of the {source} (seed {seed}), not the first ones", err=True)


S = TypeVar("S", bound=StageOptions)


def read_options(kind: type[S], config: Path | None = None, flags: Mapping[str, Any] | None = None) -> S:
    """The options of a YAML file and of flags, which win.

    Raises:
        InputError: an unknown key, a value of another type, or an option without a default that nothing gives.
    """
    from runtime.config_file import read_config

    fields, hints = dataclasses.fields(kind), get_type_hints(kind)
    values = {} if config is None else read_config(config, [each.name for each in fields])
    sources = dict.fromkeys(values, str(config)) | dict.fromkeys(flags or {}, "command line")
    values |= flags or {}
    typed = {name: _typed(hints[name], value, sources[name], name) for name, value in values.items()}
    for each in fields:
        if each.default is MISSING and each.name not in typed:
            raise InputError("command line", _flag(each.name), None, f"this command needs it: {each.metadata['help']}")
    return kind(**typed)


def stage_command(kind: type[S], check: Callable[[S], Sequence[str]], run: Callable[[S], int]) -> Callable[..., None]:
    """A command whose flags are the fields of `kind`; `--config` gives a YAML with the same names, flags win.

    Args:
        kind: The options.
        check: Raises `InputError` for the first thing that cannot work; returns lines on what a run would do.
        run: Does the work; returns the exit code. Its docstring is the command's help.
    """

    def command(ctx: typer.Context, config: Path | None = None, **given: Any) -> None:
        with told_errors():
            sources = {name: ctx.get_parameter_source(name) for name in given}
            flags = {name: given[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
            options = read_options(kind, config, flags)
            if options.dry_run:
                for line in check(options):
                    typer.echo(plain(line), err=True)
                from runtime.config_file import dump

                typer.echo(dump(options.resolved()), nl=False)
                return
            with _resolved_beside(options):
                code = run(options)
        raise typer.Exit(code)

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context), _CONFIG]
    hints = get_type_hints(kind)
    parameters += [_parameter(each, hints[each.name]) for each in _fields(kind)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = run.__doc__
    return command


_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[Path | None, typer.Option(help="YAML of these options; flags win. See configs/.")],
)


@contextmanager
def told_errors() -> Iterator[None]:
    """Bad input ends with one line and exit code 2, Ctrl-C with 130. A full disk is the caller's to tell."""
    try:
        yield
    except InputError as error:
        typer.echo(f"error: {plain(str(error))}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        typer.echo(f"error: {plain(str(error))}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("stopped: run the same command again to go on", err=True)
        raise typer.Exit(130) from None


@contextmanager
def _resolved_beside(options: StageOptions) -> Iterator[None]:
    """Keeps the resolved copy: written before a first run, and again by a run that the folder did not refuse."""
    from runtime.config_file import RESOLVED, write_resolved

    if getattr(options, "check", False):
        yield
        return
    path, made = options.folder / RESOLVED, not options.folder.exists()
    first = not path.exists()
    if first:
        write_resolved(options.folder, options.resolved())
    try:
        yield
    except InputError:
        if first:
            path.unlink(missing_ok=True)
        if made and not any(options.folder.iterdir()):
            options.folder.rmdir()
        raise
    write_resolved(options.folder, options.resolved())


def _fields(kind: type) -> list[dataclasses.Field[Any]]:
    """A stage's own options before those that it shares."""
    own = inspect.get_annotations(kind)
    return sorted(dataclasses.fields(kind), key=lambda each: each.name not in own)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parameter(each: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    """A field as the command line has it: numbers and texts with commas between, tuples of others repeated."""
    default: Any = None if each.default is MISSING else each.default
    if get_origin(hint) is tuple and get_args(hint)[0] in (int, str):
        hint, default = str, ",".join(map(str, default))
    elif get_origin(hint) is tuple:
        hint, default = list[get_args(hint)[0]], list(default)  # type: ignore[misc]
    elif get_origin(hint) is UnionType and str in get_args(hint):
        hint, default = str, str(default)
    elif each.default is MISSING:
        hint = hint | None
    flag = [_flag(each.name)] if each.metadata["once"] and hint is bool else []
    shown = typer.Option(*flag, help=each.metadata["help"], rich_help_panel=each.metadata["group"])
    return inspect.Parameter(
        each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, shown]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}


def _typed(hint: Any, value: Any, source: str, name: str) -> Any:
    """A value of a file or a flag as the field's type.

    Raises:
        InputError: it is of another type.
    """
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        try:
            split = item in (int, str) and isinstance(value, str)
            parts = [item(part.strip()) for part in value.split(",")] if split else value
        except ValueError:
            parts = None
        if not isinstance(parts, (list, tuple)):
            wanted = {int: "whole numbers with commas between", str: "texts with commas between"}
            raise InputError(source, name, value, f"give {wanted.get(item, 'a list of paths')}")
        return tuple(_typed(item, part, source, name) for part in parts)
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if int in kinds and str in kinds and isinstance(value, str) and value.isdecimal():
        return int(value)
    for kind in kinds:
        if kind is NoneType and value is None:
            return None
        if kind is float and type(value) in (int, float):
            return float(value)
        if kind is Path and isinstance(value, (str, Path)):
            return Path(value)
        if type(value) is kind:
            return value
    raise InputError(source, name, value, f"give {' or '.join(_NAMES[kind] for kind in kinds if kind in _NAMES)}")
