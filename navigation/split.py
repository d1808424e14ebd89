"""Which videos are kept from training: one rule for every stage."""

import hashlib


def held_out(video_id: str, share: float) -> bool:
    """Whether a video belongs to the held-out part: decided by its id alone, so that every stage and run agrees.

    Args:
        share: Share of videos to hold out, 0 to below 1.
    """
    digest = hashlib.sha256(f"held out: {video_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
