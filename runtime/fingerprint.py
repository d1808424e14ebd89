"""What a run is about, in comparable form, and the guard that lets nothing go on as something else."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from navigation import InputError, write_json

_ABSENT = object()
_SAMPLE = 1 << 20


OTHER_SETTINGS = "go on with the settings it was begun with, or write to another folder"
"""What to do where a run was begun with other settings."""


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the settings' canonical JSON; the order of keys does not matter."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_identity(path: str | Path) -> dict[str, Any]:
    """`{"bytes", "sha256"}` of a file; the hash is of its size and its first, middle and last MiB.

    Three MiB and not the whole, since whole videos would be read from the network twice. Names and times do not count:
    a file that was moved or copied is the same file.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        digest = hashlib.sha256(str(size).encode())
        for start in sorted({0, max(0, (size - _SAMPLE) // 2), max(0, size - _SAMPLE)}):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return {"bytes": size, "sha256": digest.hexdigest()}


def refuse_other(
    source: str | Path,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    field: str = "settings",
    hint: str = OTHER_SETTINGS,
) -> None:
    """Refuses to go on with what another run made.

    Raises:
        InputError: the settings differ; the message lists how.
    """
    changed = differences(old, json.loads(json.dumps(new)))
    if changed:
        raise InputError(source, field, f"{len(changed)} changed", f"{hint}. {'; '.join(changed)}")


def keep_settings(
    path: Path, settings: Mapping[str, Any], source: str | Path | None = None, hint: str = OTHER_SETTINGS
) -> None:
    """Writes a run's settings, or compares them with those that the file holds.

    Args:
        path: The file.
        settings: JSON values.
        source: What the message names; the file's folder if None.
        hint: What to do if they differ.

    Raises:
        InputError: it holds other settings; it cannot be read.
    """
    if not path.exists():
        write_json(path, settings)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, "file", str(error), "write to another folder, or remove this one") from None
    refuse_other(source or path.parent, found, settings, hint=hint)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each value that differs: `recipe.quality: 75 before, 90 now`. Empty if none does."""
    return list(_differences("", old, new))


def _differences(name: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(f"{name}.{key}" if name else str(key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif old != new:
        yield f"{name}: {_shown(old)} before, {_shown(new)} now"


def _shown(value: Any) -> str:
    text = "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
