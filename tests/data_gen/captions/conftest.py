import contextlib

import pytest

from data_gen.captions import CaptionJob, CaptionSettings
from data_gen.captions.run import Pace
from data_gen.frames import FrameRecipe
from runtime import EndpointSettings
from runtime.testing.caption_server import CaptionServer
from runtime.testing.numbered_clip import write_numbered_clip

SMALL = CaptionSettings(model="stub", recipe=FrameRecipe((2, 3, 4), (64, 48, 32)), minimum_width=2)
"""14 segments a clip: 2 high (4 frames), 4 medium (3), 8 leaves (2)."""


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Two clips of 20 and 24 s at 10 frames a second."""
    folder = tmp_path_factory.mktemp("clips")
    for name, seconds in (("one", 20), ("two", 24)):
        write_numbered_clip(folder / f"{name}.mp4", [100 * number for number in range(10 * seconds)])
    return folder


@pytest.fixture
async def stubs():
    """Starts stub servers; all are closed in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options):
            server = CaptionServer(**options)
            address = await server.start()
            stack.push_async_callback(server.close)
            return server, address

        yield start


@pytest.fixture
def job_for(clips, tmp_path):
    """A small caption job over the clips."""

    def make(address, settings=SMALL, videos=clips, out=tmp_path / "out", in_flight=4, attempts=8, timeout=60, **more):
        waits = {"first_wait": 0.01, "longest_wait": 0.05}
        endpoint = EndpointSettings(address, settings.model or "stub", in_flight, attempts, timeout, **waits)
        return CaptionJob(videos, out, settings, endpoint, Pace(in_flight), **more)

    return make
