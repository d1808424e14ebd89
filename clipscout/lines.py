"""`clipscout lines`: what is said and what can be read on screen in a folder of videos, as timed lines."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipscout.options import ExecutorOptions, StageOptions, option, run_job, stage_command

if TYPE_CHECKING:
    from data_gen.lines.settings import LineSettings
    from data_gen.lines.stage import LinesJob

LINES = "Lines"


@dataclass(kw_only=True)
class SpeechOptions:
    """How subtitles are chosen and speech is heard, for every stage that needs lines."""

    subtitle_language: str = option("Which subtitles to read, as en, where there are several.", "", LINES)
    audio_language: str = option("Which sound track to hear, as en, where there are several.", "", LINES)
    speech_model: str = option("Whisper model: a folder, or a name such as small.en; or --speech-url's.", "", LINES)
    speech_url: str = option("Endpoint with /v1/audio/transcriptions, instead of this machine.", "", LINES)
    speech_language: str = option("Language that is spoken, as en; found out if empty.", "", LINES)

    def line_settings(self, sources: str) -> "LineSettings":
        """Settings of lines from the sources of a command.

        Raises:
            InputError: no such source, no model, or an extra that is not installed.
        """
        from data_gen.lines.settings import line_settings

        speech: dict[str, Any] = {name: getattr(self, name) for name in SpeechOptions.__annotations__}
        return line_settings(sources, **speech)


@dataclass(kw_only=True)
class LinesOptions(SpeechOptions, ExecutorOptions, StageOptions):
    """Options of `clipscout lines`."""

    videos: Path = option("Folder of videos (subfolders count), or one video.")
    out: Path = option("Folder for the lines, one <video>.lines.jsonl each.")
    source: str = option("subtitles, speech, screen, several with commas; auto: subtitles, else speech.", "auto", LINES)
    export: str = option("Subtitle files of what is said, beside: srt, vtt, or both with a comma.", "", LINES)
    accept_damaged: bool = option("Take what there is of damaged videos.", False, LINES)

    @property
    def folder(self) -> Path:
        return self.out

    def job(self) -> "LinesJob":
        """What the stage is told.

        Raises:
            InputError: a setting that cannot be.
        """
        from data_gen.lines.stage import LinesJob

        formats = tuple(name.strip() for name in self.export.split(",") if name.strip())
        settings = self.line_settings(self.source)
        return LinesJob(self.videos, self.out, settings, formats, self.accept_damaged, self.tasks)


def check_lines(options: LinesOptions) -> list[str]:
    """Reads the settings, and which videos there are."""
    from data_gen.frames.video_files import find_videos

    job = options.job()
    job.check_input()
    videos, refused = find_videos(job.videos)
    return [f"{len(videos)} videos, {len(refused)} files refused; lines by {options.source} into {options.out}"]


def run_lines(options: LinesOptions) -> int:
    """Hear what is said and read what is shown in videos, as timed lines. Run the same command again to go on.

    Exit code 0 if every video has its lines, 1 if anything is missing, 2 if the command itself is wrong.
    """
    return run_job(options, options.job(), "lines", cpus_per_task=1)


lines = stage_command(LinesOptions, check_lines, run_lines)
