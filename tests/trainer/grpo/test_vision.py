"""Who answers `video_qa` while a policy trains."""

import pytest

from data_gen.clips import ClipService
from navigation import InputError, LineAnswerer
from trainer import grpo
from trainer.data import TracesFolder
from trainer.grpo import clip_answerer
from trainer.grpo_checks import GRPOArguments

MODEL = {"clip_url": "http://127.0.0.1:9/v1", "clip_model": "Qwen3-VL"}


@pytest.fixture
def videos(traces, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for video in {question.video_id for held in (False, True) for question in TracesFolder(traces).questions(held)}:
        (folder / f"{video}.mp4").write_bytes(b"")
    return folder


def options(traces, navigator, out, **more):
    values = {
        "data": traces, "model_name_or_path": navigator, "output_dir": out, "use_cpu": True, "bf16": False,
        "max_tool_calling_iterations": 4, "max_completion_length": 256, "num_generations": 4, "max_steps": 1,
        "per_device_train_batch_size": 32, "gradient_checkpointing": False, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, **more,
    }  # fmt: skip
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def test_timed_lines_answer_unless_a_model_is_named(traces):
    assert isinstance(clip_answerer(GRPOArguments(data=str(traces)), ["v1"]), LineAnswerer)


@pytest.mark.parametrize("left_out", ["clip_url", "clip_model", "videos"])
def test_a_model_needs_all_three(traces, videos, left_out):
    given = {**MODEL, "videos": str(videos)}
    del given[left_out]
    with pytest.raises(InputError) as error:
        clip_answerer(GRPOArguments(data=str(traces), **given), [])
    assert error.value.field == left_out


def test_a_video_that_is_not_there_is_named(traces, videos):
    video = TracesFolder(traces).questions(held=False)[0].video_id
    (videos / f"{video}.mp4").unlink()
    ids = [question.video_id for question in TracesFolder(traces).questions(held=False)]
    with pytest.raises(InputError) as error:
        clip_answerer(GRPOArguments(data=str(traces), videos=str(videos), **MODEL), ids)
    assert (error.value.field, error.value.value) == ("video_id", video)


def test_a_run_plays_in_environments_that_ask_the_model(traces, navigator, videos, tmp_path, monkeypatch):
    made = []

    class Enough(Exception):
        pass

    def build(data, model, mix, held_out, shared):
        made.append(shared["environment_factory"]())
        raise Enough

    monkeypatch.setattr(grpo, "_sync_trainer", build)
    monkeypatch.setattr(ClipService, "answer", lambda service, tree, path, query: f"{service.endpoint.model}: {query}")
    with pytest.raises(Enough):
        grpo.main(options(traces, navigator, tmp_path / "out", videos=videos, **MODEL))
    (environment,) = made
    environment.reset(video_id=TracesFolder(traces).questions(held=False)[0].video_id)
    environment.get_caption([1, 1, 1])
    assert environment.video_qa([1, 1, 1], "what colour?") == "Qwen3-VL: what colour?"
