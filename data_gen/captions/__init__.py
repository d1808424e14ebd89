"""Caption trees of videos: each video decoded once, every segment captioned once, nothing lost."""

from data_gen.captions.captioner import Caption, Captioner, LinesCaptioner, Segment
from data_gen.captions.endpoint_captioner import EndpointCaptioner
from data_gen.captions.on_demand import OnDemandCaptions
from data_gen.captions.report import RunReport, VideoReport
from data_gen.captions.run import CaptionRun
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.stage import CaptionJob, caption_videos
from data_gen.captions.subtitles import read_subtitles
from data_gen.frames.video_files import VideoFile, find_videos

__all__ = [
    "Caption", "CaptionJob", "CaptionRun", "CaptionSettings", "Captioner", "EndpointCaptioner", "LinesCaptioner",
    "OnDemandCaptions", "RunReport", "Segment", "VideoFile", "VideoReport", "caption_videos", "find_videos",
    "read_subtitles",
]  # fmt: skip
