"""What a training run is told: options besides trl's own, from one YAML parsed strictly with flags on top."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml
from trl import TrlParser

from navigation import (
    DEFAULT_TOOLS,
    ClipAnswerer,
    EnvironmentFactory,
    InputError,
    SearchSettings,
    TreeStore,
    read_tools,
)
from navigation.prompt import told_tools
from navigation.search import told_search
from runtime.config_file import nearest, without_secrets
from trainer.cpu import computes_bf16
from trainer.data import SetsFolder, TracesFolder, open_data

BY_PROCESSOR = "auto"
"""Of `bf16`: compute in bfloat16 where this machine's processor does, and in fp32 elsewhere."""


@dataclass
class DataArguments:
    """Where the data is, and how it is split."""

    data: str = field(metadata={"help": "Folder of `make traces`, or of the sets that `make dataset` made of it."})
    held_out_share: float = field(
        default=0.1, metadata={"help": "Share of videos kept from training. Sets have their own split."}
    )
    trees: str | None = field(
        default=None, metadata={"help": "Folder of caption trees; default: `trees` in `data`, or beside it for sets."}
    )
    tools: str = field(
        default=",".join(DEFAULT_TOOLS),
        metadata={"help": "Tools of an episode, with commas between: get_caption, video_qa, search, jump."},
    )
    search: dict | None = field(
        default=None, metadata={"help": "Of a search: a mapping of count, words, sources, embedder."}
    )
    dry_run: bool = field(
        default=False, metadata={"help": "Print and write the resolved config and check the data; do not train."}
    )

    @property
    def tool_names(self) -> tuple[str, ...]:
        return read_tools(self.tools)

    @property
    def search_settings(self) -> SearchSettings:
        return SearchSettings.from_config(self.search)

    @property
    def told(self) -> dict[str, Any]:
        """What records say of the run's tools; nothing where they are the default ones."""
        return {**told_tools(self.tool_names), **told_search(self.tool_names, self.search_settings)}

    def environments(self, trees: TreeStore, answerer: ClipAnswerer | None = None) -> EnvironmentFactory:
        """What makes the run's environments."""
        return EnvironmentFactory.of(trees, answerer, self.tools, self.search_settings)

    @property
    def opened(self) -> TracesFolder | SetsFolder:
        return self._open(self.data)

    def _open(self, folder: str) -> TracesFolder | SetsFolder:
        trees = Path(self.trees) if self.trees is not None else None
        return open_data(Path(folder), self.held_out_share, trees, self.tool_names)


@dataclass
class SFTArguments(DataArguments):
    """SFT's own."""

    too_long: str = field(
        default="drop", metadata={"help": "A sample over max_length: `drop` it, or `cut` it after a whole turn."}
    )
    whole_text_share: float = field(
        default=0.0,
        metadata={
            "help": "Share of trajectories supervised on every token, prompt and replies included. For models too "
            "small to come with reading skills of their own; 0 for pretrained ones."
        },
    )
    longest_first: bool = field(
        default=True, metadata={"help": "Begin the first two steps with the longest samples: too little memory shows."}
    )
    navigation_questions: int = field(
        default=0, metadata={"help": "Held-out questions that the model plays at each evaluation; 0 plays none."}
    )
    navigation_data: str | None = field(
        default=None, metadata={"help": "Folder whose held-out questions are played; default: `data`."}
    )
    navigation_turns: int = field(default=15, metadata={"help": "Most turns of such an episode."})
    navigation_tokens: int = field(default=12288, metadata={"help": "Most tokens of such an episode after its prompt."})
    navigation_turn_tokens: int | None = field(
        default=2048, metadata={"help": "Most tokens of one message of such an episode, which ends there if it is cut."}
    )
    early_stopping_patience: int = field(
        default=0,
        metadata={"help": "Stop after this many evaluations without a better metric_for_best_model; 0: never."},
    )

    @property
    def navigation_traces(self) -> TracesFolder | SetsFolder:
        """Where played questions come from."""
        return self._open(self.navigation_data or self.data)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a run was told, before it is known which options there are: the flags, and the config, read once."""

    flags: Sequence[str]
    """Without `--config` and its file."""
    config: Mapping[str, Any]
    """What the file holds; empty where none is given."""
    source: str | Path
    """The file."""

    @classmethod
    def read(cls, arguments: Sequence[str] | None = None) -> "CommandLine":
        """Reads arguments, default `sys.argv`, and the YAML that `--config` names.

        Raises:
            InputError: no such file, or it is no YAML mapping.
        """
        flags = list(sys.argv[1:] if arguments is None else arguments)
        flags = [part for flag in flags for part in (flag.split("=", 1) if flag.startswith("--config=") else [flag])]
        if "--config" not in flags:
            return cls(flags, {}, "command line")
        place = flags.index("--config")
        path = Path(*flags[place + 1 : place + 2])
        if not path.is_file():
            raise InputError("command line", "--config", str(path), "give a YAML file that exists; see configs/")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise InputError(path, "file", str(error).splitlines()[0], "fix the YAML") from None
        if not isinstance(values, dict):
            raise InputError(path, "file", values, "give a YAML mapping of options")
        return cls(flags[:place] + flags[place + 2 :], values, path)

    def value(self, name: str, default: object) -> object:
        """One option that decides which others there are, as the flags or the config have it."""
        for place, flag in reversed(list(enumerate(self.flags))):  # of a flag given twice argparse takes the last
            if flag.partition("=")[0] == f"--{name}":
                return flag.partition("=")[2] or next(iter(self.flags[place + 1 : place + 2]), None)
        return self.config.get(name, default)

    def parse(self, kinds: Sequence[Any]) -> tuple[Any, ...]:
        """Instances of the dataclasses in `kinds`; flags win over the config.

        Raises:
            InputError: an unknown key or flag, with the nearest known one, or values that do not go together.
        """
        known = sorted({field.name for kind in kinds for field in dataclasses.fields(kind) if field.init})
        for flag in (flag for flag in self.flags if flag.startswith("--")):
            name = flag[2:].split("=")[0]
            if name.replace("-", "_").removeprefix("no_") not in {*known, "help"}:
                raise InputError("command line", "flag", flag, nearest(name, known))
        for key, value in self.config.items():
            if key not in known and key != "env":
                raise InputError(self.source, str(key), value, nearest(str(key), known))
        variables = self.config.get("env") or {}
        if not isinstance(variables, dict):
            raise InputError(self.source, "env", variables, "give a mapping of environment variables")
        os.environ.update({name: str(value) for name, value in variables.items()})
        # What trl's own reading of `--config` does, with the values that were read already.
        parser = TrlParser(kinds)
        values = {key: value for key, value in self.config.items() if key != "env"}
        flags = list(self.flags)
        if self.value("bf16", None) == BY_PROCESSOR:
            values["bf16"] = computes_bf16()
            flags = _without(flags, "--bf16")
        for name in _mappings(kinds):
            if (left := _without(flags, f"--{name}")) != flags:
                values[name], flags = _mapping(name, self.value(name, None)), left
        _check_shapes(kinds, values, self.source)
        parser.set_defaults_with_config(**values)
        try:
            return parser.parse_args_and_config(flags)
        except ValueError as error:  # of the libraries' own checks
            if "support bf16" not in str(error) or not self._dry_run:
                raise _told(str(error), self.source) from None
        # What a GPU will compute in can be planned without one.
        print("bf16: no GPU here computes in it; checked as for one that does. A run here would be refused", flush=True)
        parsed = parser.parse_args_and_config([*flags, "--bf16", "False", "--use_cpu", "True"])
        for each in parsed:
            if hasattr(each, "bf16"):
                each.bf16 = True
        return parsed

    @property
    def _dry_run(self) -> bool:
        given = self.value("dry_run", False)
        return given is None or str(given).startswith("--") or str(given).lower() in ("true", "1", "yes")


_SCALARS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_LISTED = frozenset({"tools"})
"""A text among flags and, if one likes, a list in a file: `read_tools` reads both, and names what is neither."""


def _check_shapes(kinds: Sequence[Any], values: Mapping[str, Any], source: str | Path) -> None:
    """Raises for a list or mapping where one value belongs, and for null where a value must be.

    A file's values do not pass argparse's types: the libraries would end in a TypeError of their own.
    """
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    for name, value in values.items():
        hint = Any if name in _LISTED else hints.get(name, Any)
        parts = set(get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,))
        takes = [each for each in parts - {NoneType} if each in _SCALARS]
        if len(takes) < len(parts - {NoneType}) or not takes:
            continue  # it takes a mapping, a list or an enumeration too
        if isinstance(value, (list, dict)) or (value is None and NoneType not in parts):
            wanted = " or ".join(_SCALARS[each] for each in _SCALARS if each in takes)
            raise InputError(source, name, value, f"give {wanted}, or leave it out")


def _mappings(kinds: Sequence[Any]) -> list[str]:
    """The options that are mappings; argparse would call `dict` on a flag's text."""
    given = (field for kind in kinds for field in dataclasses.fields(kind) if field.init)
    return [field.name for field in given if field.type in (dict, dict | None)]


def _mapping(name: str, text: object) -> dict[str, Any] | None:
    """What a flag that is a mapping says, in JSON or YAML on one line; None for `none`, as trl reads its own."""
    if isinstance(text, str) and text.lower() in ("none", "null"):
        return None
    try:
        value = yaml.safe_load(text) if isinstance(text, str) else None
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise InputError("command line", f"--{name}", text, f"give a mapping, as in --{name} '{{key: value}}'")
    return value


def _without(flags: Sequence[str], name: str) -> list[str]:
    """The flags without one and its value."""
    places = [place for place, flag in enumerate(flags) if flag.partition("=")[0] == name]
    left_out = {place + after for place in places for after in ((0,) if "=" in flags[place] else (0, 1))}
    return [flag for place, flag in enumerate(flags) if place not in left_out]


def _told(error: str, source: str | Path) -> InputError:
    """What transformers and trl say of values that do not go together, as a field and what to do."""
    if match := re.search(r"generation_batch_size \((\d+)\) must be divisible by num_generations \((\d+)\)", error):
        rollouts, group = map(int, match.groups())
        fits = [count for count in range(2, rollouts + 1) if rollouts % count == 0]
        hint = (
            f"it must divide the {rollouts} rollouts of a step (per_device_train_batch_size x processes x "
            f"gradient_accumulation_steps): use one of {', '.join(map(str, fits))}, or change those"
        )
        return InputError(source, "num_generations", group, hint)
    if match := re.search(r"eval batch size \((\d+) \* (\d+)\) must .* evaluation \((\d+)\)", error):
        rows, processes, group = map(int, match.groups())
        hint = f"it must divide per_device_eval_batch_size x processes, {rows} x {processes}: use 1, or change those"
        return InputError(source, "num_generations_eval", group, hint)
    if "support bf16" in error:
        hint = "no GPU here computes in bf16: set bf16: false, and use_cpu: true on a CPU or fp16: true on an older GPU"
        return InputError(source, "bf16", True, hint)
    return InputError(source, "options", " ".join(error.split()), "change the option that it names")


def parse(kinds: Sequence[Any], arguments: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Instances of the dataclasses in `kinds` from `--config file.yaml` and flags, which win.

    Raises:
        InputError: an unknown key or flag, with the nearest known one; a config that is no mapping.
    """
    return CommandLine.read(arguments).parse(kinds)


def resolved(*instances: Any) -> dict[str, Any]:
    """Every option as it took effect; values that could be secrets are left out, however deep they lie."""
    values: dict[str, Any] = {}
    for instance in instances:
        record = instance.to_dict() if hasattr(instance, "to_dict") else dataclasses.asdict(instance)
        values.update(json.loads(json.dumps(record, default=str)))
    return without_secrets({key: values[key] for key in sorted(values)})
