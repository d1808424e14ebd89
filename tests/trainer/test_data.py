"""What the trainers read of a traces folder, and of the sets made of it."""

import pytest

from data_gen.sets import Blocklist, SetSettings, export_sets
from navigation import InputError
from trainer import grpo
from trainer.arguments import SFTArguments
from trainer.data import SetsFolder, TracesFolder, open_data

SHARE = 0.3


@pytest.fixture(scope="module")
def rates(traces):
    """The first training question is never solved, the second always, the others sometimes."""
    train = [question.id for question in TracesFolder(traces, SHARE).questions(held=False)]
    return dict.fromkeys(train, 0.5) | {train[0]: 0.0, train[1]: 1.0}


@pytest.fixture(scope="module")
def blocked(traces):
    return TracesFolder(traces, SHARE).questions(held=False)[2].video_id


@pytest.fixture(scope="module")
def sets(traces, rates, blocked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "sets"
    listed = folder.parent / "videos.txt"
    listed.write_text(blocked + "\n")
    export_sets(traces, folder, SetSettings(SHARE), Blocklist.load([listed], 0.6), rates)
    return folder


def test_sets_teach_what_their_filters_left(traces, sets, rates, blocked):
    whole, made = TracesFolder(traces, SHARE), open_data(sets, SHARE, traces / "trees")
    assert isinstance(made, SetsFolder)
    kept = [question for question in whole.questions(held=False) if rates[question.id] == 0.5]
    kept = [question for question in kept if question.video_id != blocked]
    assert 0 < len(kept) < len(rates) - 2
    assert made.questions(held=False) == kept
    assert made.questions(held=True) == whole.questions(held=True)
    rows = {row["id"]: row for row in whole.rl_dataset(held=False)}
    assert list(made.rl_dataset(held=False)) == [rows[question.id] for question in kept]
    assert blocked not in made.rl_dataset(held=False)["video_id"]


def test_grpo_trains_on_sets(traces, sets, base, tmp_path, capsys):
    options = {
        "data": sets, "trees": traces / "trees", "model_name_or_path": base, "output_dir": tmp_path, "bf16": False,
        "max_tool_calling_iterations": 4, "max_completion_length": 256, "num_generations": 2, "use_cpu": True,
        "per_device_train_batch_size": 4, "dry_run": True, "gradient_checkpointing": False, "report_to": "none",
    }  # fmt: skip
    grpo.main([part for name, value in options.items() for part in (f"--{name}", str(value))])
    assert f"questions {len(open_data(sets, SHARE).questions(held=False))}" in capsys.readouterr().out


def test_trees_are_found_in_the_folder_and_beside_it(traces, tmp_path):
    out = tmp_path / "sets"
    export_sets(traces, out, SetSettings(SHARE))
    with pytest.raises(InputError) as error:
        _ = open_data(out, SHARE).trees
    assert (error.value.field, error.value.source) == ("trees", str(out))
    video = TracesFolder(traces).questions(held=False)[0].video_id
    (tmp_path / "trees").symlink_to(traces / "trees")
    assert video in open_data(out, SHARE).trees
    arguments = SFTArguments(data=str(out), navigation_data=str(out), trees=str(traces / "trees"))
    assert video in arguments.navigation_traces.trees


def test_a_folder_with_episodes_is_a_traces_folder(traces):
    assert isinstance(open_data(traces, SHARE), TracesFolder)
