"""`clipscout captions`: caption trees of a folder of videos."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clipscout.lines import SpeechOptions
from clipscout.options import (
    ENDPOINT,
    ExecutorOptions,
    RequestOptions,
    StageOptions,
    option,
    run_job,
    stage_command,
)

if TYPE_CHECKING:
    from data_gen.captions import CaptionJob

CAPTIONS, FRAMES = "Captions", "Frames and trees"


@dataclass(kw_only=True)
class CaptionOptions(SpeechOptions, RequestOptions, ExecutorOptions, StageOptions):
    """Options of `clipscout captions`."""

    videos: Path = option("Folder of videos (subfolders count), or one video.")
    out: Path = option("Folder for the trees, one <video>.json each.")
    captioner: str = option("endpoint, lines, subtitles or annotations.", "endpoint", CAPTIONS)
    strategy: str = option("frames: all levels from frames; bottom_up: only the leaves.", "frames", CAPTIONS)
    words: tuple[int, ...] = option("Word limits by level, leaves first.", (80, 120, 160), CAPTIONS)
    subtitles: bool = option("Put each segment's subtitles into its prompt.", True, CAPTIONS)
    lines: str = option("Where lines come from: auto, or some of subtitles,speech,screen.", "auto", CAPTIONS)
    lines_from: Path | None = option("Folder of clipscout lines, for auto; else beside the videos.", None, CAPTIONS)
    annotations: Path | None = option("JSONL of {video_id, start, end, text}.", None, CAPTIONS)
    prompts: Path | None = option("Folder with your own prompt files.", None, CAPTIONS)
    max_tokens: int = option("Completion tokens of one caption.", 1024, CAPTIONS)
    temperature: float = option("Of the model.", 0.0, CAPTIONS)
    frames: tuple[int, ...] = option("Frames of a segment by level, leaves first.", (32, 64, 128), FRAMES)
    sides: tuple[int, ...] = option("Longest side of a frame in px by level, leaves first.", (512, 362, 256), FRAMES)
    quality: int = option("JPEG quality.", 75, FRAMES)
    minimum_width: int = option("Least width of a tree (MLVU: 3).", 4, FRAMES)
    depth: int | str = option("Levels, or auto for leaves of at most 16 s.", 3, FRAMES)
    accept_damaged: bool = option("Caption what can be decoded of damaged videos.", False, FRAMES)
    decoding: int = option("Videos decoded at once by a process.", 2, FRAMES)
    frame_mb: int = option("Bound on JPEGs that wait for captions, in MB a process.", 96, FRAMES)
    url: str = option("OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.", "", ENDPOINT)
    model: str = option("Model that the endpoint serves.", "", ENDPOINT)

    @property
    def folder(self) -> Path:
        return self.out

    def job(self) -> "CaptionJob":
        """What the stage is told.

        Raises:
            InputError: a setting that cannot be.
        """
        from data_gen.captions import CaptionJob, CaptionSettings
        from data_gen.captions.run import Pace
        from data_gen.captions.settings import PROMPTS
        from data_gen.frames import FrameRecipe
        from runtime.budget import PRICES

        settings = CaptionSettings(
            captioner=self.captioner,
            model=self.model,
            strategy=self.strategy,
            recipe=FrameRecipe(self.frames, self.sides, self.quality),
            words=self.words,
            use_subtitles=self.subtitles,
            lines=self.line_settings(self.lines),
            minimum_width=self.minimum_width,
            depth=self.depth,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            prompts=self.prompts or PROMPTS,
            accept_damaged=self.accept_damaged,
        )
        asks = self.captioner == "endpoint" or (self.captioner == "lines" and bool(self.url))
        return CaptionJob(
            self.videos,
            self.out,
            settings,
            endpoint=self.endpoint(self.url, self.model) if asks else None,
            pace=Pace(self.in_flight, self.decoding, self.frame_mb * 1_000_000),
            prices=self.prices or PRICES,
            max_usd=self.max_usd,
            annotations=self.annotations,
            lines_from=self.lines_from,
            tasks=self.tasks,
        )


def check_captions(options: CaptionOptions) -> list[str]:
    """Reads the settings, the prompts, and which videos there are."""
    from data_gen.captions.stage import lines_by_video
    from data_gen.frames.video_files import find_videos

    job = options.job()
    settings = job.settings.to_dict()
    videos, refused = find_videos(job.videos)
    lines_by_video(job)
    if job.endpoint is not None:
        options.check_price(options.url, options.model)
    by = settings.get("model", job.settings.captioner)
    return [f"{len(videos)} videos, {len(refused)} files refused; captions by {by} into {options.out}"]


def run_captions(options: CaptionOptions) -> int:
    """Caption every video of a folder, each decoded once. Run the same command again to go on after a stop.

    Exit code 0 if every video has its tree, 1 if anything is missing, 2 if the command itself is wrong.
    """
    return run_job(options, options.job(), "captions", cpus_per_task=options.decoding)


captions = stage_command(CaptionOptions, check_captions, run_captions)

if __name__ == "__main__":
    typer.run(captions)
