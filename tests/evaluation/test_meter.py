"""The meter: what one episode looked at and cost, and what captions cost when they are made on demand."""

import pytest

from evaluation.cost_model import CostModel
from evaluation.evaluate import evaluate
from evaluation.meter import Meter, build_cost
from evaluation.policies import make_policy
from navigation import InputError, Status, Trajectory, Visit, initial_messages


def trajectory(question, tree, visits=(), messages=(), **more):
    prompt = initial_messages(question, tree)
    return Trajectory(
        f"{question.id}#0", question.id, question.video_id, [*prompt, *messages], [], "A", True, Status.ANSWERED,
        [Visit(tool, path, None if tool == "get_caption" else "why") for tool, path in visits], **more,
    )  # fmt: skip


@pytest.fixture
def tree(make_tree):
    return make_tree("v0")


def test_visits_frames_seconds_and_captions(tree, questions):
    visits = [
        ("get_caption", (1, 1)), ("get_caption", (1, 1, 2)), ("video_qa", (1, 1, 2)), ("get_caption", (2, 3)),
        ("get_caption", (2, 3)),
    ]  # fmt: skip
    read = Meter(CostModel()).read(trajectory(questions[0], tree, visits, turns=6), tree)
    assert (read["get_caption"], read["video_qa"], read["by_level"]) == (4, 1, [0, 3, 2])
    # Two medium segments, one leaf, one clip question; the repeated segment's frames count once.
    assert read["frames"] == 64 + 64 + 32 + 16
    # 30 s of (1, 1), which holds (1, 1, 2), and 30 s of (2, 3).
    assert read["seconds_seen"] == 60.0
    # Three opened and the top level.
    assert read["captions"] == 3 + 3
    assert read["seconds_computed"] == 6 * 2.0 + 3.0
    assert read["seconds_on_demand"] == 6 * 2.0 + 3.0 + 6 * 3.0


def test_an_index_needs_every_leaf_and_a_closed_book_nothing(tree, questions):
    meter = Meter(CostModel())
    opened = trajectory(questions[0], tree, [("get_caption", (1, 1, 1)), ("get_caption", (2, 1))])
    assert meter.read(opened, tree, index_captions=27)["captions"] == 27 + 3 + 1
    closed = meter.read(trajectory(questions[0], tree), tree, reads_overview=False)
    assert (closed["captions"], closed["frames"], closed["seconds_seen"]) == (0, 0, 0.0)
    assert meter.read(trajectory(questions[0], tree), tree)["tokens_read"] > closed["tokens_read"]


def test_tokens_are_read_once_but_sent_at_every_turn(tree, questions):
    says = [{"role": "assistant", "content": "x" * 40}, {"role": "tool", "content": "y" * 400}] * 2
    says.append({"role": "assistant", "content": "z" * 4})
    read = Meter(CostModel()).read(trajectory(questions[0], tree, messages=says, turns=3), tree)
    prompt = sum(len(message["content"]) for message in trajectory(questions[0], tree).messages)
    assert read["tokens_read"] == -(-(prompt + 2 * 440 + 4) // 4)
    assert read["tokens_sent"] == -(-(prompt + (prompt + 440) + (prompt + 880)) // 4)


def test_what_the_policy_accounts_for_goes_before_turns(tree, questions):
    read = Meter(CostModel()).read(
        trajectory(questions[0], tree, turns=2), tree, account={"model_calls": 9, "usd": 0.25}
    )
    assert (read["model_calls"], read["usd"], read["seconds_computed"]) == (9, 0.25, 18.0)


async def test_a_videos_questions_share_what_is_made_on_demand(trees, factory, questions, mix, tmp_path):
    costs = CostModel()
    played = await evaluate(make_policy("uniform", trees, questions), questions, factory, mix=mix, out=tmp_path)
    build = build_cost(played, trees, costs, indexed=False, reads_overview=True)
    # Every question of a video opens the same four leaves: 3 videos of 4 leaves and 3 top-level captions.
    assert build["on_demand"]["captions"] == 3 * (4 + 3)
    assert build["on_demand"]["frames"] == 3 * (4 * 32 + 3 * 128)
    assert build["full_index"]["captions"] == 3 * 39
    indexed = build_cost(played, trees, costs, indexed=True, reads_overview=False)
    assert indexed["on_demand"]["captions"] == 3 * 27


def test_frames_are_those_of_the_tree_where_it_says_them():
    costs = CostModel()
    assert costs.frames_of({"frames": {"frames": [8, 16]}}, 3, 3) == 8
    assert costs.frames_of({"frames": {"frames": [8, 16]}}, 1, 3) == 16
    assert costs.frames_of({"frames": 12}, 1, 3) == 12
    assert costs.frames_of({"frames": "many"}, 1, 3) == 128


@pytest.mark.parametrize(
    "text",
    [
        "- 3",
        "speed: 3",
        "caption_seconds: fast",
        "frames: 3",
        "frames: [1.5]",
        "video_qa_frames: 1.5",
        "{",
        "language_seconds: -1",
    ],
)
def test_a_cost_model_that_is_wrong_is_refused(text, tmp_path):
    (tmp_path / "costs.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        CostModel.load(tmp_path / "costs.yaml")
    assert error.value.source == str(tmp_path / "costs.yaml")


def test_a_cost_model_keeps_defaults_and_prices_by_name(tmp_path):
    (tmp_path / "costs.yaml").write_text("caption_seconds: 1.5\nframes: [4, 8]\nvision_model: stub\n")
    costs = CostModel.load(tmp_path / "costs.yaml")
    assert (costs.caption_seconds, costs.frames, costs.language_model) == (1.5, (4, 8), "gpt-4o-mini")
    # The stub's price: 0.5 USD a million prompt tokens, 2 a million completion tokens.
    assert costs.vision_usd(frames=10, calls=2) == pytest.approx((10 * 300 * 0.5 + 2 * 150 * 2) / 1e6)
    with pytest.raises(InputError) as error:
        CostModel(vision_model="nobody").vision_usd(1, 1)
    assert (error.value.field, error.value.value) == ("model", "nobody")
