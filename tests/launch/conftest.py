import contextlib
from pathlib import Path

import pytest

from benchmarks.teacher_server import TeacherServer
from data_gen.captions import CaptionJob, CaptionSettings
from data_gen.captions.run import Pace
from data_gen.expert import Expert
from data_gen.frames import FrameRecipe
from data_gen.traces import write_questions
from navigation import TreeStore, read_questions
from runtime import EndpointSettings
from runtime.testing.caption_server import CaptionServer
from runtime.testing.numbered_clip import write_numbered_clip

ROOT = Path(__file__).parents[2]
SMALL = CaptionSettings(model="stub", recipe=FrameRecipe((2, 3, 4), (64, 48, 32)), minimum_width=2)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Three clips of 20 to 24 s; 14 segments each."""
    folder = tmp_path_factory.mktemp("clips")
    for name, seconds in (("one", 20), ("two", 22), ("three", 24)):
        write_numbered_clip(folder / f"{name}.mp4", [100 * number for number in range(10 * seconds)])
    return folder


@pytest.fixture
def corpus(tmp_path):
    """Twelve questions over small-world trees."""
    write_questions("small_world", None, tmp_path / "corpus", limit=12)
    return tmp_path / "corpus"


@pytest.fixture
async def stubs():
    """Starts stub servers, of captions or (with a corpus) of a teacher; all are closed in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(corpus=None, **options):
            if corpus is None:
                server = CaptionServer(**options)
            else:
                questions = list(read_questions(corpus / "questions.jsonl"))
                server = TeacherServer(questions, TreeStore(corpus / "trees"), Expert(questions), **options)
            address = await server.start()
            stack.push_async_callback(server.close)
            return server, address

        yield start


@pytest.fixture
def caption_job(clips, tmp_path):
    def make(address, out=tmp_path / "trees"):
        endpoint = EndpointSettings(address, "stub", 4, 8, 5.0, first_wait=0.01, longest_wait=0.05)
        return CaptionJob(clips, out, SMALL, endpoint, Pace(4))

    return make
