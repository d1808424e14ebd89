"""Caption trees of videos: each video decoded once, every segment captioned once, nothing lost."""

from data_gen.captions.captioner import EndpointCaptioner, Segment
from data_gen.captions.lines_captioner import LinesCaptioner, SummaryCaptioner
from data_gen.captions.on_demand import OnDemandCaptions
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.stage import CaptionJob

__all__ = [
    "CaptionJob",
    "CaptionSettings",
    "EndpointCaptioner",
    "LinesCaptioner",
    "OnDemandCaptions",
    "Segment",
    "SummaryCaptioner",
]
