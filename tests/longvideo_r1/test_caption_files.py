import copy
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from clipscout.tree import plain, tree
from longvideo_r1.caption_files import export_released, from_released, import_released, to_released
from navigation import CaptionTree, InputError, Line, TimeGrid

runner = CliRunner()


def released(width=4, frames=15_000, fps=25.0):
    """A file as the released script writes it: flat splits, frame numbers by linspace, times rounded to 0.1."""
    levels = []
    for level, (name, count) in enumerate((("high", 128), ("medium", 64), ("low", 32)), 1):
        items = []
        for place, part in enumerate(np.array_split(range(frames), width**level)):
            ids = np.linspace(part[0], part[-1], count, dtype=int).tolist()
            caption = f"{name} {place} <b> é" if place % 2 else f"<caption> {name} {place} </caption>"
            times = [round(number / fps, 1) for number in ids]
            items.append(
                {"segment_id": place + 1, "level": name, "caption": caption, "frame_time": times, "frame_ids": ids}
            )
        levels.append(items)
    return {"video_name": "a.1.mp4", "width": width, "captions": levels}


HELLO = (Line(1.0, 2.0, "hello"),)


def native(depth=3, lines=HELLO, made_by=None):
    grid = TimeGrid(100.0, 2, depth)
    made_by = made_by if made_by is not None else {"captioner": "endpoint", "frames": {"frames": [2, 3, 4]}}
    return CaptionTree("video one", grid, {path: f"caption {path}" for path in grid.paths()}, made_by, lines)


def test_a_released_file_comes_back_byte_for_byte(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(released()))
    export_released(import_released(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_also_through_a_tree_file_with_keys_we_do_not_know(tmp_path):
    record = released()
    record["note"] = {"a": [1]}
    record["captions"][0][2]["score"] = 0.5
    record["captions"][1].reverse()
    parsed = CaptionTree.from_dict(json.loads(json.dumps(from_released(record, duration=600.0).to_dict())))
    assert to_released(parsed) == {**record, "clipscout": to_released(parsed)["clipscout"]}
    again = from_released(to_released(parsed))
    assert again.to_dict() == parsed.to_dict()


def test_tree_of_a_released_file():
    found = from_released(released())
    assert found.video_id == "a.1"
    assert found.grid.duration == pytest.approx(600.0, abs=0.1)
    assert found.made_by["duration_estimated"] is True
    assert found.captions[(1,)] == "high 0"
    assert found.captions[(1, 2)] == "medium 1 <b> é"
    assert found.captions[(4, 4, 4)] == "low 63 <b> é"
    assert from_released(released(), duration=599.5).grid.duration == 599.5


@pytest.mark.parametrize("made_by", [None, {}], ids=["frames", "nothing"])
@pytest.mark.parametrize("lines", [(), HELLO])
def test_a_tree_of_ours_comes_back_through_the_released_shape(made_by, lines):
    tree_of_ours = native(lines=lines, made_by=made_by)
    record = json.loads(json.dumps(to_released(tree_of_ours, fps=25)))
    assert [len(level) for level in record["captions"]] == [2, 4, 8]
    assert record["captions"][2][7]["segment_id"] == 8
    assert len(record["captions"][0][0]["frame_time"]) == (4 if made_by is None else 2)
    assert from_released(record).to_dict() == tree_of_ours.to_dict()


@pytest.mark.parametrize("made_by", [{}, {"frames": 12}, {"frames": {"frames": [1]}}, {"frames": {"frames": 8}}])
def test_a_segment_without_frames_is_exported_with_its_begin_and_end(made_by):
    record = to_released(native(made_by=made_by), fps=25)
    for level, items in enumerate(record["captions"], 1):
        for item in items:
            start, end = item["frame_time"][0], item["frame_time"][-1]
            assert end - start == pytest.approx(100.0 / 2**level, abs=0.11)
            assert item["frame_ids"][-1] < 2500
    assert record["captions"][0][-1]["frame_time"][-1] == 100.0


TAGGED = "<caption>all of it</caption>"


@pytest.mark.parametrize(
    "text", [TAGGED, "a sign says <caption>here</caption> twice", "<caption>a</caption> <caption>b</caption>"]
)
def test_tags_that_a_caption_of_ours_holds_come_back(text):
    tree_of_ours = native()
    tree_of_ours = CaptionTree("v", tree_of_ours.grid, {**tree_of_ours.captions, (1,): text}, {}, ())
    record = json.loads(json.dumps(to_released(tree_of_ours)))
    assert record["captions"][0][0]["caption"] == text
    assert from_released(record).captions == tree_of_ours.captions


def test_tags_inside_a_released_caption_stay_and_those_around_it_go():
    record = released()
    record["captions"][0][0]["caption"] = "a sign says <caption>here</caption>"
    record["captions"][0][1]["caption"] = "<think>hm</think>\n<caption> so </caption>\n"
    found = from_released(copy.deepcopy(record))
    assert (found.captions[(1,)], found.captions[(2,)]) == ("a sign says <caption>here</caption>", "so")
    assert to_released(found) == record
    # Also where the tree's own key goes along.
    spoken = CaptionTree(found.video_id, found.grid, found.captions, found.made_by, HELLO)
    assert from_released(json.loads(json.dumps(to_released(spoken)))).to_dict() == spoken.to_dict()


def test_a_tree_keeps_the_times_of_its_frames_and_says_how_far_they_are(tmp_path):
    # At 1 frame a second, 100 frames in 64 parts: the first parts hold two frames, the others one.
    record = released(frames=100, fps=1.0)
    found = from_released(record)
    kept = found.made_by["released"]
    assert [item["frame_time"] for item in kept["segments"][2]] == [
        item["frame_time"] for item in record["captions"][2]
    ]
    assert kept["off_grid"]["of"] == 4 + 16 + 64
    assert kept["off_grid"]["seconds"] > 5
    assert kept["off_grid"]["segments"] > 32
    assert from_released(released()).made_by["released"]["off_grid"]["seconds"] < 1.0
    (tmp_path / "a.json").write_text(json.dumps(record))
    result = runner.invoke(tree, ["import", str(tmp_path / "a.json"), str(tmp_path / "t.json")])
    assert result.exit_code == 0
    assert f"{kept['off_grid']['segments']} of 84 segments" in result.output


@pytest.mark.parametrize("count", [2, 4])
def test_files_of_other_depths_are_refused_by_their_levels(count):
    record = released()
    record["captions"] = (record["captions"] * 2)[:count]
    with pytest.raises(InputError) as error:
        from_released(record)
    assert (error.value.field, error.value.value) == ("captions", f"{count} levels")


def test_a_caption_changed_after_import_is_exported_changed():
    record = released()
    found = from_released(copy.deepcopy(record))
    changed = CaptionTree(found.video_id, found.grid, {**found.captions, (1,): "new"}, found.made_by)
    assert to_released(changed)["captions"][0][0]["caption"] == "new"
    assert to_released(changed)["captions"][0][1:] == record["captions"][0][1:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record.pop("captions"), lambda record: record["captions"].pop(),
        lambda record: record["captions"][1].pop(), lambda record: record.update(width="4"),
        lambda record: record["captions"][0][0].update(caption=None), lambda record: record.pop("video_name"),
        lambda record: record["captions"][2][0].update(segment_id=2),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(spoil):
    record = released()
    spoil(record)
    with pytest.raises(InputError) as error:
        from_released(record, "a.json")
    assert error.value.source == "a.json"


def test_other_depths_and_gaps_are_refused():
    with pytest.raises(InputError) as error:
        to_released(native(depth=2))
    assert (error.value.field, error.value.value) == ("depth", 2)
    whole = native()
    part = CaptionTree("v", whole.grid, {(1,): "x"})
    with pytest.raises(InputError) as error:
        to_released(part)
    assert (error.value.field, error.value.value) == ("segments", "13 missing")


def test_show_prints_both_formats(tmp_path):
    (tmp_path / "ours.json").write_text(json.dumps(native().to_dict()))
    (tmp_path / "theirs.json").write_text(json.dumps(released()))
    ours = runner.invoke(tree, ["show", str(tmp_path / "ours.json")])
    assert ours.exit_code == 0
    assert "[1, 2, 1] 0:25-0:37 caption (1, 2, 1)" in ours.output
    theirs = runner.invoke(tree, ["show", str(tmp_path / "theirs.json"), "--levels", "1"])
    assert "[4] 7:30-10:00 high 3 <b> é" in theirs.output
    assert "medium" not in theirs.output
    below = runner.invoke(tree, ["show", str(tmp_path / "ours.json"), "--below", "2,1"])
    assert "[2, 1, 1]" in below.output
    assert "[1," not in below.output


@pytest.mark.parametrize("text", ["", "[]", "{", '{"video_id": "x"}', '{"captions": 3}'])
def test_show_names_a_bad_file(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    result = runner.invoke(tree, ["show", str(tmp_path / "bad.json")])
    assert result.exit_code == 2
    assert "bad.json" in result.output
    assert runner.invoke(tree, ["show", str(tmp_path / "none.json")]).exit_code == 2


def test_import_and_export_commands(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(released()))
    assert runner.invoke(tree, ["import", str(tmp_path / "a.json"), str(tmp_path / "t.json")]).exit_code == 0
    assert runner.invoke(tree, ["export", str(tmp_path / "t.json"), str(tmp_path / "b.json")]).exit_code == 0
    assert json.loads((tmp_path / "b.json").read_text()) == released()


def test_captions_cannot_steer_the_terminal(tmp_path):
    hostile = "\x1b[2J\x1b]0;title\x07 \u202egnp.exe [red]markup[/red] \x00 a\nb"
    grid = TimeGrid(10.0, 2, 1)
    (tmp_path / "t.json").write_text(json.dumps(CaptionTree("v\x1b[31m", grid, {(1,): hostile, (2,): "x"}).to_dict()))
    output = runner.invoke(tree, ["show", str(tmp_path / "t.json")], color=True).output
    assert "\x1b[2J" not in output
    assert "\x1b[31m" not in output
    assert "\u202e" not in output
    assert "[red]markup[/red]" in " ".join(output.split())
    assert plain("a\tb") == "a b"
