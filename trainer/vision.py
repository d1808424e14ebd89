"""Who answers `video_qa` while a policy trains: the trees' timed lines, or a vision model over the videos."""

from collections.abc import Iterable
from pathlib import Path

from navigation import ClipAnswerer, InputError, LineAnswerer
from trainer.grpo_arguments import GRPOArguments


def clip_answerer(options: GRPOArguments, video_ids: Iterable[str]) -> ClipAnswerer:
    """The answerer that `clip_url`, `clip_model` and `videos` name; without them the trees' timed lines.

    Args:
        options: Of the run.
        video_ids: Videos that questions are about: each needs its file.

    Raises:
        InputError: one of the three is missing, or a video's file is.
    """
    given = {name: getattr(options, name) for name in ("clip_url", "clip_model", "videos")}
    if not any(given.values()):
        return LineAnswerer()
    for name, value in given.items():
        if not value:
            raise InputError("grpo config", name, value, "a vision model needs clip_url, clip_model and videos")
    # PyAV and the client are loaded by runs that ask a model alone.
    from data_gen.clips import ClipService
    from data_gen.frames.video_files import find_videos
    from runtime import EndpointSettings

    folder = Path(options.videos)
    if not folder.is_dir():
        raise InputError("grpo config", "videos", options.videos, "give the folder of the video files")
    there = {video.id for video in find_videos(folder)[0]}
    missing = next((video for video in sorted(set(video_ids)) if video not in there), None)
    if missing is not None:
        raise InputError(
            folder, "video_id", missing, "put this video's file into the folder, or leave out its questions"
        )
    return ClipService(folder, EndpointSettings(options.clip_url, options.clip_model, options.clips_in_flight))
