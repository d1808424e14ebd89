"""The runs that a viewer shows: found in folders, named so that an address holds in another list of runs too."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from clipscout.view.trajectory_set import TrajectorySet
from navigation import InputError
from rewards import RewardMix

TRAJECTORIES, ROLLOUTS, METRICS_FILE = "trajectories.jsonl", "rollouts", "metrics.jsonl"
_DEEPEST = 4


class Runs:
    """Sets of trajectories and trainings by name.

    Args:
        sets: Named apart, as `find_runs` does.
        trainings: Folders with a `metrics.jsonl`, by name.
    """

    def __init__(self, sets: Sequence[TrajectorySet], trainings: dict[str, Path] | None = None) -> None:
        self.sets, self.trainings = list(sets), trainings or {}
        self._by_name = {each.name: each for each in self.sets}

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def get(self, name: str) -> TrajectorySet:
        """The set of a name, up to date. A name from another list of runs is longer or shorter at its front: the set
        that shares the most of its end is meant.

        Raises:
            InputError: none, or several.
        """
        found = self._by_name[named(name, self._by_name)]
        found.refresh()
        return found


def named(name: str, names: Iterable[str]) -> str:
    """The one of `names` that `name` means: itself, or else the one whose end is the same as its own for longest.

    Raises:
        InputError: none, or several.
    """
    names = list(names)
    if name in names:
        return name
    asked, shared = name.split("/"), {}
    for each in names:
        parts = each.split("/")
        common = min(len(parts), len(asked))
        if parts[-common:] == asked[-common:]:
            shared[each] = common
    best = [each for each in shared if shared[each] == max(shared.values())]
    if len(best) != 1:
        raise InputError("view", "run", name[:200], f"give one of {', '.join(best or names)[:1000]}")
    return best[0]


def find_runs(folders: Sequence[Path], corpus: Path | None = None, only: Sequence[str] = ()) -> Runs:
    """Everything below some folders; where two are called the same, the folders above them are named too.

    Args:
        folders: Folders of runs, or JSONL files of trajectories.
        corpus: Where the questions and trees are; default: looked for beside the trajectories.
        only: Keep those whose name ends so.

    Raises:
        InputError: no trajectories in one of them, or `only` keeps none.
    """
    trainings = [
        (name, below)
        for folder in folders
        for name, below in _named_folders(folder)
        if (below / METRICS_FILE).is_file()
    ]
    # A training that recorded no episodes has curves alone.
    drawn = [folder for folder in folders if any(below.is_relative_to(folder) for _, below in trainings)]
    sets = [each for folder in folders for each in find_sets(folder, corpus, required=folder not in drawn)]
    for each, name in zip(sets, _apart([(each.name, each.folder) for each in sets]), strict=True):
        each.name = name
    if only:
        names = [each.name for each in sets]
        sets = [each for each in sets if any(each.name.endswith(name) for name in only)]
        if not sets:
            raise InputError("view", "--only", ", ".join(only), f"give the end of one of {', '.join(names)}")
    return Runs(sets, dict(zip(_apart(trainings), (folder for _, folder in trainings), strict=True)))


def _apart(named: Sequence[tuple[str, Path]]) -> list[str]:
    """The names, those that several have with as many folders above them as tell them apart."""
    names = [name for name, _ in named]
    for above in range(1, 12):
        double = {name for name in names if names.count(name) > 1}
        if not double:
            break
        for place, (name, folder) in enumerate(named):
            if names[place] in double:
                # How many of the folder's parents the name holds already is how often it goes up.
                parts = folder.resolve().parts
                front = parts[: len(parts) - len(name.removesuffix(f"/{ROLLOUTS}").split("/"))]
                names[place] = "/".join((*front[-above:], name)).lstrip("/")
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]


def find_sets(run: Path, corpus: Path | None = None, required: bool = True) -> list[TrajectorySet]:
    """Every set of trajectories in a run's folder, or the one in a JSONL file.

    Args:
        run: A file; or a folder with `trajectories.jsonl` or `rollouts/` in it or up to four levels below.
        corpus: Where the questions and trees are; default: looked for beside the trajectories.
        required: Whether there must be one.

    Raises:
        InputError: nothing there, or no trajectories in it although required.
    """
    if run.is_file():
        return [_set(run.name, [run], run.parent, corpus)]
    if not run.is_dir():
        raise InputError(run, "run", str(run), "give a folder or JSONL file that exists")
    sets = []
    for name, folder in _named_folders(run):
        rollouts = partial(_rollouts, folder / ROLLOUTS)
        if (folder / TRAJECTORIES).is_file():
            sets.append(_set(name, [folder / TRAJECTORIES], folder, corpus))
        if rollouts():
            sets.append(_set(f"{name}/{ROLLOUTS}", rollouts, folder, corpus))
    if not sets and required:
        hint = f"give a folder with {TRAJECTORIES} or {ROLLOUTS}/*.jsonl in it, or such a file"
        raise InputError(run, "run", "no trajectories", hint)
    return sets


def _named_folders(run: Path) -> Iterator[tuple[str, Path]]:
    """A folder and those below it, under names that begin with its own."""
    if run.is_dir():
        own = run.resolve().name
        for folder in _folders(run):
            yield own if folder == run else f"{own}/{folder.relative_to(run).as_posix()}", folder


def _folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    yield folder
    if depth < _DEEPEST:
        for below in sorted(folder.iterdir()):
            if below.is_dir() and not below.is_symlink() and below.name not in ("trees", ROLLOUTS):
                yield from _folders(below, depth + 1)


def _rollouts(folder: Path) -> list[Path]:
    """A training's files, one a step: it adds more while it runs."""
    return sorted(folder.glob("*.jsonl"), key=_in_order)


def _in_order(path: Path) -> tuple[int, str]:
    digits = "".join(re.findall("[0-9]", path.stem))
    return int(digits[-18:] or 0), path.name


def _set(
    name: str, files: Sequence[Path] | Callable[[], Sequence[Path]], folder: Path, corpus: Path | None
) -> TrajectorySet:
    config = settings_of(folder)
    return TrajectorySet(name, files, corpus or _corpus(folder, config.get("data")), _mix(config), folder)


def _corpus(folder: Path, data: object) -> Path | None:
    """The nearest folder of questions and trees: the trajectories' own, the one their config names, or one beside a
    parent. One without trees, as an evaluation's own questions may be, only where none has both."""
    places = [folder, folder / "corpus"]
    if isinstance(data, str):
        places += [Path(data), folder / data]
    for parent in list(folder.resolve().parents)[:3]:
        places += [parent, parent / "traces", parent / "corpus"]
    asked = [place for place in places if (place / "questions.jsonl").is_file()]
    return next((place for place in asked if (place / "trees").is_dir()), asked[0] if asked else None)


def settings_of(folder: Path) -> dict[str, Any]:
    """A run's recorded settings; empty where there are none. JSON is YAML."""
    for name in ("resolved_config.yaml", "settings.json"):
        try:
            record = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(record, dict):
            return record
    return {}


def _mix(config: dict[str, Any]) -> RewardMix | None:
    settings = config.get("reward") or config.get("mix")
    if not isinstance(settings, dict):
        return None
    try:
        return RewardMix.from_config(settings)
    except InputError:  # of another version: the default mix explains, and the page says so
        return None
