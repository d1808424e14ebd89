"""`video_qa` from the video itself: one leaf decoded from its keyframe, shared by all who ask for it."""

from data_gen.clips.endpoint_answerer import CLIP_RECIPE, ClipEndpointAnswerer, clip_settings
from data_gen.clips.leaf_frames import leaf_frames
from data_gen.clips.service import ClipService
from data_gen.clips.shared_cache import SharedCache

__all__ = ["CLIP_RECIPE", "ClipEndpointAnswerer", "ClipService", "SharedCache", "clip_settings", "leaf_frames"]
