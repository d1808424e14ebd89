"""A run's options in a file: read strictly, and written as they took effect without what could be a secret."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from navigation import InputError, did_you_mean, write_atomic

RESOLVED = "resolved_config.yaml"
SECRET_WORDS = ("token", "key", "secret", "password")


def read_config(path: str | Path, known: Iterable[str]) -> dict[str, Any]:
    """The options of a YAML file.

    Raises:
        InputError: no such file, no YAML mapping, or a key that is not in `known`, with the nearest one that is.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("command line", "--config", str(path), f"give a YAML file to read: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(path, "file", str(error).splitlines()[0], "fix the YAML") from None
    if not isinstance(values, dict):
        raise InputError(path, "file", values, "give a YAML mapping of options")
    known = sorted(known)
    for key in values:
        if key not in known:
            raise InputError(path, str(key), values[key], nearest(str(key), known))
    return values


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown option."""
    return f"no such option{did_you_mean(name.replace('-', '_'), known) or '; --help lists them'}"


def without_secrets(value: Any) -> Any:
    """A copy of what YAML holds, without the texts that could be secrets, however deep they lie."""
    if isinstance(value, dict):
        return {key: without_secrets(each) for key, each in value.items() if not _secret(key, each)}
    if isinstance(value, list):
        return [without_secrets(each) for each in value if not _secret("", each)]
    return value


def _secret(key: str, value: Any) -> bool:
    from runtime.secrets import secret_in  # its import takes a while, and most commands end before

    if not isinstance(value, str):
        return False
    named = any(word in key.lower().split("_") for word in SECRET_WORDS) and "max" not in key
    return named or secret_in(value) is not None


def dump(values: Mapping[str, Any]) -> str:
    """Options as YAML."""
    return yaml.safe_dump(dict(values), sort_keys=True, allow_unicode=True)


def write_resolved(folder: str | Path, values: Mapping[str, Any], name: str = RESOLVED) -> Path:
    """Writes the resolved config into a run's folder."""
    path = Path(folder) / name
    write_atomic(path, dump(values))
    return path
