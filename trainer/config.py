"""One YAML a run: parsed strictly, flags on top, the resolved values written beside the run."""

import dataclasses
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from trl import TrlParser

from navigation import InputError, write_atomic
from runtime.secrets import secret_in


def parse(kinds: Sequence[type], arguments: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Instances of the dataclasses in `kinds` from `--config file.yaml` and flags, which win.

    Raises:
        InputError: an unknown key or flag, with the nearest known one; a config that is no mapping.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    known = sorted({field.name for kind in kinds for field in dataclasses.fields(kind) if field.init})
    for flag in (argument for argument in arguments if argument.startswith("--")):
        name = flag[2:].split("=")[0]
        if name.replace("-", "_").removeprefix("no_") not in {*known, "config", "help"}:
            raise InputError("command line", "flag", flag, _nearest(name, known))
    if "--config" in arguments:
        path = Path(arguments[arguments.index("--config") + 1])
        if not path.is_file():
            raise InputError("command line", "--config", str(path), "give a YAML file that exists; see configs/")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise InputError(path, "file", str(error).splitlines()[0], "mend the YAML") from None
        if not isinstance(values, dict):
            raise InputError(path, "file", values, "give a YAML mapping of options")
        for key in values:
            if key not in known and key != "env":
                raise InputError(path, str(key), values[key], _nearest(str(key), known))
    return TrlParser(kinds).parse_args_and_config(arguments)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.4)
    return f"no such option; the nearest is {close[0]!r}" if close else "no such option; --help lists them"


SECRET_WORDS = ("token", "key", "secret", "password")


def resolved(*instances: Any) -> dict[str, Any]:
    """Every option as it took effect; values that could be secrets are left out, however deep they lie."""
    values: dict[str, Any] = {}
    for instance in instances:
        record = instance.to_dict() if hasattr(instance, "to_dict") else dataclasses.asdict(instance)
        values.update(json.loads(json.dumps(record, default=str)))
    return _without_secrets({key: values[key] for key in sorted(values)})


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(each) for key, each in value.items() if not _secret(key, each)}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value if not _secret("", each)]
    return value


def _secret(key: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    named = any(word in key.lower().split("_") for word in SECRET_WORDS) and "max" not in key
    return named or secret_in(value) is not None


def write_resolved(folder: str | Path, values: dict[str, Any], name: str = "resolved_config.yaml") -> Path:
    """Writes the resolved config into a run's folder."""
    path = Path(folder) / name
    write_atomic(path, yaml.safe_dump(values, sort_keys=True, allow_unicode=True))
    return path
