"""Files that the version before wrote (commit 5a93cbd, over its stubs) are read, or refused with the way to convert."""

import json
import zlib
from pathlib import Path

import pytest

from data_gen.captions import CaptionJob, CaptionSettings
from data_gen.captions.run import Pace as CaptionPace
from data_gen.frames import FrameRecipe
from data_gen.teacher import TeacherJob, TeacherSettings
from data_gen.teacher.run import RunReport
from data_gen.teacher.stage import trajectory_journal
from navigation import InputError, Trajectory, TreeStore, write_json
from runtime import EndpointSettings, file_identity
from runtime.ranked_run import run_ranks
from runtime.testing.numbered_clip import write_numbered_clip

FORMER = Path(__file__).parent / "former"
NOWHERE = EndpointSettings("http://127.0.0.1:9/v1", "stub", attempts=1)
TEACHER_PROMPT = "a8584a6c7d314c45019ca2183e0c9e3f5b98fa6270b2c6c198dcd0c780d256e7"  # pragma: allowlist secret
CAPTION_PROMPT = "30c3c1f519005fa859ba0a5376247e835d65396fe0e20414c947c6320aa6f720"  # pragma: allowlist secret
CAPTIONED = {
    "captioner": "endpoint",
    "words": [80, 120, 160],
    "minimum_width": 2,
    "depth": 3,
    "model": "stub",
    "strategy": "frames",
    "frames": {"frames": [2, 3, 4], "sides": [64, 48, 32], "quality": 75},
    "use_subtitles": True,
    "max_tokens": 1024,
    "temperature": 0.0,
    "prompt_sha256": CAPTION_PROMPT,
}


def journal(path, settings, lines):
    """A journal as the version before wrote it: lines with checksums, the first holds the settings."""
    head = json.dumps({"key": None, "value": {"settings": settings}}, ensure_ascii=False)[:-1].encode()
    path.parent.mkdir(parents=True)
    path.write_bytes(head + b', "crc32": ' + str(zlib.crc32(head)).encode() + b"}\n" + (FORMER / lines).read_bytes())


@pytest.fixture
def teacher(tmp_path):
    """A teacher's job over a folder, and what the version before would have written of its settings."""
    (tmp_path / "trees").mkdir()
    (tmp_path / "questions.jsonl").touch()
    job = TeacherJob(tmp_path, TeacherSettings("gpt-4o-mini"), NOWHERE)
    settings = job.to_dict()
    return job, {**settings, "teacher": {**settings["teacher"], "prompt_sha256": TEACHER_PROMPT}}


def test_a_journal_of_walks_is_read_under_its_new_name(teacher):
    job, _ = teacher
    journal(job.rank_folder(0) / "walks.jsonl", job.to_dict(), "walks.jsonl")
    with trajectory_journal(job, 0) as kept:
        assert kept.damaged == 0
        (key,) = kept
        found = Trajectory.from_dict({**kept[key], "tools": []})
    assert (found.id, found.prediction, found.correct) == ("small_world-3-0/6#0", "A", True)
    assert [visit.path for visit in found.visits] == [(2, 1), (2, 1, 2)]
    assert [path.name for path in job.rank_folder(0).glob("*.jsonl")] == ["trajectories.jsonl"]


def test_a_run_under_the_former_prompt_is_refused_with_the_way_and_left_alone(teacher):
    job, former = teacher
    walks = job.rank_folder(0) / "walks.jsonl"
    journal(walks, former, "walks.jsonl")
    before = walks.read_bytes()
    write_json(job.run_folder / "settings.json", former)
    with pytest.raises(InputError) as error:
        run_ranks(job, quiet=True)
    assert (error.value.source, error.value.field) == (str(job.out), "settings")
    assert "clipscout migrate" in error.value.hint
    assert f'teacher.prompt_sha256: "{TEACHER_PROMPT}" before' in error.value.hint
    with pytest.raises(InputError):
        trajectory_journal(job, 0)
    assert walks.read_bytes() == before


def test_a_report_of_walks_is_read():
    report = RunReport.from_dict(json.loads((FORMER / "report.json").read_text()))
    assert (report.trajectories, report.finished, report.terminations) == (2, 2, {"right": 2})
    assert report.usage.requests == 7
    assert report.complete


def test_a_journal_of_captions_goes_on_without_a_request(tmp_path):
    (tmp_path / "clips").mkdir()
    clip = tmp_path / "clips" / "one.mp4"
    write_numbered_clip(clip, [100 * number for number in range(200)])
    out = tmp_path / "trees"
    # Of the clip made here: another encoder's has other bytes.
    journal(out / ".run/journals/one.jsonl", {**CAPTIONED, "video": file_identity(clip)}, "captions.jsonl")
    write_json(out / ".run/settings.json", CAPTIONED)
    settings = CaptionSettings(model="stub", recipe=FrameRecipe((2, 3, 4), (64, 48, 32)), minimum_width=2)
    (video,) = run_ranks(CaptionJob(clip.parent, out, settings, NOWHERE, CaptionPace(4)), quiet=True).videos
    assert (video.state, video.captioned, video.resumed) == ("complete", 14, 14)
    assert video.usage.requests == 14
    assert TreeStore(out)["one"].captions[(1, 1, 1)].startswith("Stub caption 0fc8804e")
