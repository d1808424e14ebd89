import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.corpora.actions import Action, AnnotatedVideo, similar, stems
from data_gen.corpora.derive import EDGE, derive
from navigation import LETTERS
from navigation.grid import clock

VERBS = ("wash", "cut", "boil", "fry", "stir", "serve", "weigh")
THINGS = ("rice", "onion", "carrot", "soup", "dough", "garlic")


@st.composite
def videos(draw):
    """Videos with repeated wordings, gaps, overlaps, categories and parts inside and slightly outside their steps."""
    words = st.builds("{} the {}".format, st.sampled_from(VERBS), st.sampled_from(THINGS))
    category = st.sampled_from(["", "", "heat", "clean"])
    time, steps = 0.0, []
    for number in range(draw(st.integers(0, 14))):
        start = max(0.0, time + draw(st.floats(-6, 20)))
        end = start + draw(st.floats(0.5, 60))
        parts = []
        for place in range(draw(st.integers(0, 3))):
            begin = max(0.0, start + draw(st.floats(-4, 20)))
            parts.append(Action(place, begin, begin + draw(st.floats(0.5, 20)), draw(words), draw(category)))
        steps.append(Action(number, start, end, draw(words), draw(category), (), tuple(parts)))
        time = end
    ends = [action.end for step in steps for action in (step, *step.parts)]
    duration = max([1.0, *ends])
    return AnnotatedVideo(
        "v", duration, "cook", (0.0, duration), sorted(steps, key=lambda each: (each.start, each.end))
    )


def anchor_of(question, video):
    number = int(question.id.rsplit("/", 1)[1])
    return next(step for step in video.steps if step.number == number)


def right_of(question):
    return question.options[LETTERS.index(question.answer)]


@given(videos(), st.integers(0, 3))
def test_every_question_is_true_and_has_no_second_right_option(video, seed):
    questions, _ = derive(video, "x", seed)
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        anchor = anchor_of(question, video)
        right, wrong = right_of(question), [each for each in question.options if each != right_of(question)]
        assert len(set(question.options)) == 4
        assert question.clue_intervals
        for begin, end in question.clue_intervals:
            assert 0 <= begin < end <= video.duration
        same = [each for each in video.steps if stems(each.text) == stems(anchor.text)]
        assert same == [anchor]
        index = list(video.steps).index(anchor)
        if question.kind in ("after", "before"):
            neighbour = video.steps[index + (1 if question.kind == "after" else -1)]
            assert right == neighbour.text
            assert not any(similar(stems(each), stems(right)) for each in wrong)
            assert not any(similar(stems(each), stems(anchor.text)) for each in question.options)
            assert set(wrong) <= {step.text for step in video.steps}
        elif question.kind == "when":
            assert right == f"{clock(anchor.start)}-{clock(anchor.end)}"
            assert question.clue_intervals == ((anchor.start, anchor.end),)
            spans = {f"{clock(step.start)}-{clock(step.end)}": step for step in video.steps}
            assert set(wrong) <= set(spans)
        else:
            assert question.kind == "part"
            own = [part.text for part in anchor.parts]
            assert right in own
            assert len({len(stems(option) & stems(anchor.text)) for option in question.options}) == 1
            for each in wrong:
                assert not any(similar(stems(each), stems(mine)) for mine in own)
                assert each in {part.text for step in video.steps if step is not anchor for part in step.parts}


@given(videos())
def test_letters_are_balanced_by_kind(video):
    questions, _ = derive(video, "x", 0)
    for kind in {question.kind for question in questions}:
        letters = Counter(question.answer for question in questions if question.kind == kind)
        assert max(letters[x] for x in "ABCD") - min(letters[x] for x in "ABCD") <= 1


def video_of(*texts, length=20.0, gap=0.0, parts=None):
    steps, time = [], 0.0
    for number, text in enumerate(texts):
        inner = tuple(
            Action(n, time + 5 * n, time + 5 * n + 5, part) for n, part in enumerate((parts or {}).get(text, ()))
        )
        steps.append(Action(number, time, time + length, text, "", (), inner))
        time += length + gap
    return AnnotatedVideo("v", time, "", (0.0, time), steps)


def of_kind(video, kind, seed=0):
    return {
        question.id.rsplit("/", 1)[1]: question for question in derive(video, "x", seed)[0] if question.kind == kind
    }


FIVE = ("wash rice", "cut onion", "boil water", "fry garlic", "serve soup")


def test_after_and_before_name_the_neighbours_and_the_clue_is_where_they_meet():
    after, before = of_kind(video_of(*FIVE), "after"), of_kind(video_of(*FIVE), "before")
    assert [right_of(after[str(n)]) for n in range(4)] == list(FIVE[1:])
    assert [right_of(before[str(n)]) for n in range(1, 5)] == list(FIVE[:-1])
    assert after["1"].clue_intervals == ((40 - EDGE, 40 + EDGE),) == before["2"].clue_intervals
    assert "4" not in after
    assert "0" not in before


def test_a_gap_between_steps_is_no_clue():
    assert of_kind(video_of(*FIVE, gap=30.0), "after")["0"].clue_intervals == ((10.0, 20.0), (50.0, 60.0))


def test_a_repeated_step_is_no_anchor_whatever_its_spelling():
    video = video_of(*FIVE, "Washes the rice.")
    for kind in ("after", "before", "when"):
        assert not {"0", "5"} & set(of_kind(video, kind))
    assert "0" in of_kind(video_of(*FIVE, "wash hands"), "when")


def test_a_step_that_is_a_part_elsewhere_is_no_anchor():
    video = video_of(*FIVE, parts={"serve soup": ["cut onions", "take bowl"]})
    assert "1" not in of_kind(video, "when")
    assert "1" in of_kind(video_of(*FIVE, parts={"cut onion": ["cut onions", "take bowl"]}), "when")


@pytest.mark.parametrize("texts", [FIVE[:3], ("wash rice", "cut onion", "cut onion", "boil water", "cuts the onions")])
def test_without_three_real_distractors_there_is_no_neighbour_question(texts):
    questions, not_made = derive(video_of(*texts), "x", 0)
    assert not [question for question in questions if question.kind in ("after", "before")]
    assert sum(not_made.values()) > 0


def test_steps_under_way_at_once_do_not_follow_one_another():
    video = video_of(*FIVE)
    long = Action(9, 0.0, 100.0, "watch television")
    steps = sorted([*video.steps, long], key=lambda step: (step.start, step.end))
    overlapped = AnnotatedVideo("v", 100.0, "", (0.0, 100.0), steps)
    assert not of_kind(overlapped, "after")
    assert derive(overlapped, "x", 0)[1]["steps overlap"] > 0


def test_one_taxonomy_label_is_one_action_and_no_distractor():
    steps = [
        Action(n, 20.0 * n, 20.0 * n + 20, text, category)
        for n, (text, category) in enumerate(
            [
                ("wash rice", ""),
                ("dice bulb", "cut onion"),
                ("chop onion", "cut onion"),
                ("fry garlic", ""),
                ("serve soup", ""),
                ("sweep floor", ""),
            ]
        )
    ]
    video = AnnotatedVideo("v", 120.0, "", (0.0, 120.0), steps)
    for seed in range(20):
        assert "chop onion" not in of_kind(video, "after", seed)["0"].options


def test_part_options_are_parts_and_none_repeats_its_step():
    parts = {
        "wash rice": ["wash rice", "open tap"], "cut onion": ["hold knife"], "boil water": ["fill pot"],
        "fry garlic": ["pour oil", "open tap"],
    }  # fmt: skip
    video = video_of(*FIVE, parts=parts)
    for seed in range(20):
        question = of_kind(video, "part", seed).get("0")
        assert question is not None
        assert right_of(question) == "open tap"
        assert question.clue_intervals == ((5.0, 10.0),)
        assert set(question.options) == {"open tap", "hold knife", "fill pot", "pour oil"}


def test_when_options_are_clock_spans_of_real_steps():
    for question in of_kind(video_of(*FIVE, length=400.0), "when").values():
        assert all(re.fullmatch(r"\d+:\d\d-\d+:\d\d", option) for option in question.options)


def test_the_seed_changes_the_questions_and_nothing_else_does():
    video = video_of(*FIVE, "sweep floor", "dry plate", parts={text: [f"part of {text}"] for text in FIVE})
    assert derive(video, "x", 1) == derive(video, "x", 1)
    assert derive(video, "x", 1)[0] != derive(video, "x", 2)[0]


def test_a_long_video_takes_no_quadratic_time(monkeypatch):
    from data_gen.corpora import derive as module

    calls = Counter()

    def counted(first, second):
        calls["similar"] += 1
        return similar(first, second)

    monkeypatch.setattr(module, "similar", counted)

    def comparisons(count):
        calls.clear()
        derive(video_of(*(f"action{n} thing{n}" for n in range(count))), "x", 0)
        return calls["similar"]

    assert comparisons(1600) < 2.5 * comparisons(800)
