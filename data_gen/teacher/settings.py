"""Everything that decides what a teacher's trajectories say: equal settings, equal requests."""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from data_gen.teacher import prompt
from navigation import DEFAULT_TOOLS, SEARCH, InputError, SearchSettings
from navigation.prompt import chat_template, system_prompt


@dataclass(frozen=True, slots=True)
class HintSettings:
    """What a teacher that answered wrongly is told.

    The defaults are LongVideo-R1's: the clue's segments on the top level, then one level finer each time, then the
    advice to verify with `video_qa`.

    Args:
        levels: How many hints name segments; the first names the top level. None: as many as the tree has levels.
        verify: Whether a last hint asks to verify with `video_qa`.
        most_segments: Segments one hint names at most; a clue that covers more is named by its first ones.
    """

    levels: int | None = None
    verify: bool = True
    most_segments: int = 12

    def __post_init__(self) -> None:
        if self.levels is not None and (type(self.levels) is not int or self.levels < 0):
            raise InputError("hints", "levels", self.levels, "give a whole number of at least 0, or none for all")
        if type(self.most_segments) is not int or self.most_segments < 1:
            raise InputError("hints", "most_segments", self.most_segments, "give a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """Settings of a teacher run.

    Args:
        model: Name of the endpoint's model.
        samples: Trajectories for each question.
        temperature: Of each reply.
        max_tokens: Completion tokens of one reply.
        rounds: Replies of the teacher in one trajectory, the malformed and the wrong ones included.
        tokens: Completion tokens of one trajectory; None for no limit.
        malformed: So many malformed replies in a row end the trajectory.
        usd: Money one trajectory may cost; None for no limit. The trajectory ends after the reply that passes it.
        hints: What follows a wrong answer.
        clip_model: Name of the model that answers `video_qa` from a clip; empty: the tree's timed lines answer.
        tools: What the teacher may call.
        search: What a search looks at and tells.
    """

    model: str
    samples: int = 1
    temperature: float = 0.7
    max_tokens: int = 2048
    rounds: int = 30
    tokens: int | None = None
    malformed: int = 3
    usd: float | None = None
    hints: HintSettings = field(default_factory=HintSettings)
    clip_model: str = ""
    tools: tuple[str, ...] = DEFAULT_TOOLS
    search: SearchSettings = field(default_factory=SearchSettings)

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("teacher", "model", self.model, "give the name of the model that the endpoint serves")
        for name in ("samples", "max_tokens", "rounds", "malformed"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise InputError("teacher", name, getattr(self, name), "give a whole number of at least 1")
        for name in ("tokens", "usd"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError("teacher", name, value, "give a number above 0, or none for no limit")

    def to_dict(self) -> dict[str, Any]:
        """What is compared when a run goes on; the wording of all prompts is in it as a hash.

        The chat template stands for how a question and its video are worded: it changes whenever that does.
        """
        told = [text for name, text in sorted(vars(prompt).items()) if name.isupper() and name[0] != "_"]
        more = [] if self.tools == DEFAULT_TOOLS else [prompt.protocol(self.tools)]
        wording = "\0".join((chat_template(), system_prompt(self.tools), *told, *more))
        record = asdict(self) | {"prompt_sha256": hashlib.sha256(wording.encode()).hexdigest()}
        # A run with the default tools is compared as it was before there were others.
        for name in ("tools", "search"):
            if self.tools == DEFAULT_TOOLS or (name == "search" and SEARCH not in self.tools):
                del record[name]
        return record
