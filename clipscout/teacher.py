"""`clipscout teacher`: trajectories of a language model over a corpus folder, filtered by nothing yet."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clipscout.judge import JudgeOptions
from clipscout.options import (
    ENDPOINT,
    ExecutorOptions,
    RequestOptions,
    StageOptions,
    ToolOptions,
    option,
    run_job,
    stage_command,
)
from navigation import InputError

if TYPE_CHECKING:
    from data_gen.teacher import TeacherJob

EPISODES, CLIPS = "Episodes", "Clips"


@dataclass(kw_only=True)
class TeacherOptions(JudgeOptions, ToolOptions, RequestOptions, ExecutorOptions, StageOptions):
    """Options of `clipscout teacher`."""

    data: Path = option("Folder with questions.jsonl and trees/; trajectories.jsonl comes in.")
    url: str = option("OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.", group=ENDPOINT)
    model: str = option("Model that the endpoint serves.", group=ENDPOINT)
    samples: int = option("Trajectories for each question.", 1, EPISODES)
    temperature: float = option("Of each reply.", 0.7, EPISODES)
    max_tokens: int = option("Completion tokens of one reply.", 2048, EPISODES)
    turns: int = option("Replies in one trajectory, malformed and wrong ones included.", 30, EPISODES)
    episode_tokens: int | None = option("Completion tokens of one trajectory.", None, EPISODES)
    episode_usd: float | None = option("Money one trajectory may cost.", None, EPISODES)
    malformed: int = option("So many malformed replies in a row end a trajectory.", 3, EPISODES)
    hint_levels: int | None = option("Hints that name segments; default: one a level.", None, EPISODES)
    verify_hint: bool = option("A last hint asks to verify with video_qa.", True, EPISODES)
    videos: Path | None = option("Folder of videos, for video_qa from their frames.", None, CLIPS)
    clip_url: str = option("Endpoint of the vision model; default: the teacher's.", "", CLIPS)
    clip_model: str = option("Vision model that answers video_qa.", "", CLIPS)

    @property
    def folder(self) -> Path:
        return self.data

    def job(self) -> "TeacherJob":
        """What the stage is told.

        Raises:
            InputError: a setting that cannot be.
        """
        from data_gen.teacher import HintSettings, Pace, TeacherJob, TeacherSettings
        from runtime.budget import PRICES

        if (self.videos is None) != (not self.clip_model):
            raise InputError("teacher", "videos", self.videos, "give --videos and --clip-model together, or neither")
        settings = TeacherSettings(
            self.model,
            samples=self.samples,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            rounds=self.turns,
            tokens=self.episode_tokens,
            malformed=self.malformed,
            usd=self.episode_usd,
            hints=HintSettings(self.hint_levels, self.verify_hint),
            clip_model=self.clip_model,
            **self.tool_settings(),
        )
        return TeacherJob(
            self.data,
            settings,
            endpoint=self.endpoint(self.url, self.model),
            tasks=self.tasks,
            videos=self.videos,
            clip_endpoint=self.endpoint(self.clip_url or self.url, self.clip_model) if self.clip_model else None,
            prices=self.prices or PRICES,
            max_usd=self.max_usd,
            pace=Pace(self.in_flight, 4 * self.in_flight),
            judge=self.judge(self.request, self.prices),
        )


def check_teacher(options: TeacherOptions) -> list[str]:
    """Reads the settings, the questions, and which of them have a tree."""
    from navigation import TreeStore, read_questions

    options.job()
    options.check_price(options.url, options.model)
    for name in ("questions.jsonl", "trees"):
        if not (options.data / name).exists():
            hint = "write the corpus there first, for example with `clipscout questions`"
            raise InputError(options.data, "folder", f"no {name}", hint)
    questions = list(read_questions(options.data / "questions.jsonl"))
    trees = TreeStore(options.data / "trees")
    without = sum(question.video_id not in trees for question in questions)
    return [
        f"{len(questions)} questions, {options.samples} trajectories each by {options.model} at {options.url}; "
        f"{without} questions without a caption tree"
    ]


def run_teacher(options: TeacherOptions) -> int:
    """Let a model navigate every question of a folder. Run the same command again to go on after a stop.

    Exit code 0 if every trajectory has ended, 1 if anything is missing, 2 if the command itself is wrong.
    """
    return run_job(options, options.job(), "teacher")


teacher = stage_command(TeacherOptions, check_teacher, run_teacher)

if __name__ == "__main__":
    typer.run(teacher)
