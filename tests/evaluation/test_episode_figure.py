"""The drawing of an episode: cells where the time is, badges that do not cover each other, clues marked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.episode_view import NARROW, WIDE, episode_figure, episode_view, turns_of
from evaluation.style import spread, template
from navigation import (
    GET_CAPTION,
    VIDEO_QA,
    CaptionTree,
    Lookup,
    Status,
    TimeGrid,
    Trajectory,
    Visit,
    assistant_message,
)


def trajectory(visits, messages=()):
    return Trajectory("q#0", "q", "v0", list(messages), [], "A", True, Status.ANSWERED, visits)


def test_cells_lie_at_their_time_and_level(make_tree):
    figure = episode_figure(
        make_tree("v0"), trajectory([Visit(GET_CAPTION, (2,)), Visit(GET_CAPTION, (2, 3, 3))]), [(170, 180)]
    )
    first, second = figure.cells
    assert (first.x, first.width) == pytest.approx((100 / 3, 100 / 3))
    assert second.x + second.width == pytest.approx(200 / 3)
    assert (first.y, second.y) == (figure.rows[0].y, figure.rows[2].y)
    assert figure.clues == [pytest.approx((100 * 170 / 270, 100 * 10 / 270))]
    assert (first.hit, second.hit) == (True, True)
    assert (first.path, first.visit) == ((2,), 1)
    assert "0:00" in [label for _, label in figure.ticks]


def test_every_segment_of_a_row_is_a_slot(make_tree):
    rows = episode_figure(make_tree("v0"), trajectory([]), []).rows
    assert [len(row.slots) for row in rows] == [3, 9, 27]
    for row in rows:
        ends = [slot.x + slot.width for slot in row.slots]
        assert [slot.x for slot in row.slots] == pytest.approx([0, *ends[:-1]])
        assert ends[-1] == pytest.approx(100)


def test_a_second_visit_to_a_segment_is_a_second_badge_on_one_cell(make_tree):
    visits = [Visit(GET_CAPTION, (1, 1, 1)), Visit(VIDEO_QA, (1, 1, 1), "who?")]
    figure = episode_figure(make_tree("v0"), trajectory(visits), [])
    assert len(figure.cells) == 1
    for arrangement in figure.arrangements:
        assert [(badge.number, badge.question, badge.hit) for badge in arrangement.badges] == [
            (1, False, False),
            (2, True, False),
        ]


def test_many_visits_are_counted_instead_of_numbered(make_tree):
    tree = make_tree("v0")
    leaves = [Visit(GET_CAPTION, path) for path in tree.grid.paths(3)]
    wide, narrow = episode_figure(tree, trajectory(leaves), []).arrangements
    assert (len(wide.badges), wide.notes) == (27, [])
    assert narrow.badges == []
    assert [text for _, text in narrow.notes] == ["27 visits"]
    figure = episode_figure(tree, trajectory(leaves * 2), [])
    assert len(figure.cells) == 27
    assert [[text for _, text in each.notes] for each in figure.arrangements] == [["54 visits"]] * 2


def test_a_day_long_tree_is_drawn_with_few_borders():
    tree = CaptionTree("v0", TimeGrid(86_400.0, 8, 5), {})
    figure = episode_figure(tree, trajectory([Visit(GET_CAPTION, (8, 8, 8, 8, 8))]), [(86_399.0, 86_400.0)])
    assert sum(len(row.borders) + len(row.slots) for row in figure.rows) < 800
    assert figure.cells[0].width >= 0.5
    assert figure.cells[0].x + figure.cells[0].width <= 100


@given(st.lists(st.integers(1, 270), max_size=40, unique=True))
def test_badges_of_a_drawing_do_not_cover_each_other_where_it_is_narrowest(leaves):
    grid = TimeGrid(2700.0, 17, 2)
    visits = [Visit(GET_CAPTION, grid.path(leaf, 2)) for leaf in leaves]
    figure = episode_figure(CaptionTree("v0", grid, {}), trajectory(visits), [])
    for arrangement, pixels in zip(figure.arrangements, (WIDE, NARROW), strict=True):
        places = sorted(badge.x for badge in arrangement.badges)
        assert all((second - first) * pixels / 100 >= 17 - 1e-6 for first, second in pairwise(places))
        assert all(0 <= x <= 100 for x in places)


@given(st.lists(st.floats(58, 552), max_size=25))
def test_badges_never_cover_each_other_and_stay_inside(wanted):
    wanted = sorted(wanted)
    placed = spread(wanted, 17, 58, 552)
    assert all(second - first >= 17 - 1e-6 for first, second in pairwise(placed))
    assert all(58 <= x <= 552 for x in placed)


@given(st.lists(st.integers(0, 8), max_size=9, unique=True))
def test_badges_with_room_stay_where_they_are(places):
    wanted = sorted(80 + 50.0 * place for place in places)
    assert spread(wanted, 17, 58, 552) == pytest.approx(wanted)


def test_turns_tell_calls_replies_and_which_of_them_were_visits():
    messages = [
        {"role": "user", "content": "q"},
        assistant_message("look", calls=[(GET_CAPTION, {"segment": [9]}), (GET_CAPTION, {"segment": [1]})]),
        {"role": "tool", "content": "Error: no segment"},
        {"role": "tool", "content": "0:00 a dog"},
        assistant_message("many", calls=[(GET_CAPTION, {"segment": [1, number]}) for number in range(1, 10)]),
        *({"role": "tool", "content": f"reply {number}"} for number in range(9)),
        assistant_message("", calls=[("sing", None)]),
        assistant_message("done", "<answer>A</answer>"),
    ]
    visits = [Visit(GET_CAPTION, (1,)), *(Visit(GET_CAPTION, (1, number)) for number in range(1, 10))]
    turns = turns_of(trajectory(visits, messages))
    assert [(call.text, call.visit) for call in turns[0].calls] == [("open [9]", None), ("open [1]", 1)]
    assert turns[0].calls[1].reply == "0:00 a dog"
    assert (len(turns[1].calls), turns[1].hidden) == (6, 3)
    assert turns[2].calls[0].reply == "(no reply)"
    assert turns[3].content == "<answer>A</answer>"


def test_searches_and_jumps_open_nothing_and_are_not_refused():
    messages = [
        assistant_message("", calls=[("search", {"query": "dog", "within": [2]}), ("jump", {"time": "1:30"})]),
        {"role": "tool", "content": "a dog [2, 1] 0:30"},
        {"role": "tool", "content": "Error: the video lasts 1:00"},
    ]
    for reply in ("a dog [2, 1] 0:30-0:40", "Error: 404, says the screen [2, 1] 0:30-0:40 screen"):
        messages[1]["content"] = reply
        played = trajectory([], messages)
        played.lookups = [Lookup("search", "dog", (2,))]
        (turn,) = turns_of(played)
        assert [(call.text, call.visit, call.refused) for call in turn.calls] == [
            ("search “dog” in [2]", None, False),
            ("jump to 1:30", None, True),
        ]
        assert [each.path for each in turn.calls[0].results] == [(2, 1)]


def searched(text="a <b>dog</b> [9, 9] 9:99-9:99"):
    messages = [
        assistant_message("", calls=[("search", {"query": "dog"}), ("jump", {"time": "1:30"})]),
        {"role": "tool", "content": f"{text} [2, 1] 0:30-0:40\nNow it barks [1] 0:05-0:06 speech\nSearched 3 of 12."},
        {"role": "tool", "content": "1:30 is in [3, 2] 1:20-1:40"},
        assistant_message("", calls=[(GET_CAPTION, {"segment": [2, 1]})]),
        {"role": "tool", "content": "0:30-0:40 a dog"},
    ]
    played = trajectory([Visit(GET_CAPTION, (2, 1))], messages)
    played.lookups = [Lookup("search", "dog"), Lookup("jump", "1:30")]
    return played


def test_a_lookup_s_results_are_told_apart_and_say_what_was_opened_later():
    first, _ = turns_of(searched())
    search, jump = first.calls
    assert (search.lookup, jump.lookup) == ("search", "jump")
    assert [(each.path, each.time, each.kind, each.opened) for each in search.results] == [
        ((2, 1), "0:30-0:40", "", 1),
        ((1,), "0:05-0:06", "speech", None),
    ]
    assert search.results[0].text == "a <b>dog</b> [9, 9] 9:99-9:99"
    assert search.reply == "Searched 3 of 12."
    assert [each.path for each in jump.results] == [(3, 2)]


def test_what_lookups_named_is_drawn_once_where_it_lies(make_tree):
    tree = make_tree("v0")
    played = searched()
    played.messages += [assistant_message("", calls=[("search", {"query": "again"})]), played.messages[1]]
    played.lookups.append(Lookup("search", "again"))
    found = episode_figure(tree, played, []).found
    assert [cell.path for cell in found] == [path for path in [(2, 1), (1,), (3, 2)] if tree.grid.contains(path)]
    assert "dog" in found[0].title
    assert episode_figure(tree, trajectory([]), []).found == []


def test_results_are_escaped_in_the_page(make_tree):
    card = template("episode.html").module.episode_card
    shown = str(card(episode_view("x", searched('<script>alert(1)</script>"'), make_tree("v0"), [])))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "opened as 1" in shown
