"""Asking a tree, subtitles and a video: the answer, its evidence, its price; what is said when a part is missing."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clipscout.ask.answer import Answer
from clipscout.ask.options import read_settings
from clipscout.ask.policies import POLICIES, DescentPolicy, choose_policy
from clipscout.ask.session import ask, make_question
from clipscout.ask.settings import AskSettings, LimitReached, Server
from clipscout.ask.video_source import open_source
from navigation import DEFAULT_TOOLS, InputError, Limits, Policy, Reply, SearchSettings, TreeStore, assistant_message
from navigation.grid import clock
from runtime import Budget
from tests.clipscout.world import house_questions, house_tree

SAID = ("hello and welcome", "now the volcano erupts", "the penguin slides", "good night") * 4
SRT = "\n".join(
    f"{number + 1}\n00:{number // 6:02d}:{number % 6}0,000 --> 00:{number // 6:02d}:{number % 6}9,000\n{text}\n"
    for number, text in enumerate(SAID)
)
SMALL = {"frames": (2, 3, 4), "sides": (64, 48, 32)}


@pytest.fixture
def tree_file(tmp_path):
    store = TreeStore(tmp_path)
    store.save(house_tree())
    return store.path("house")


async def asked(source, text, options=(), parts=None, policy=None, limits=None, tools=DEFAULT_TOOLS):
    events = []
    parts = parts or AskSettings()
    async with await open_source(source, parts) as source:
        question = make_question(source, text, options)
        answer = await ask(source, policy or choose_policy(parts), question, events.append, limits, tools)
    return answer, events


async def test_a_tree_answers_with_its_evidence_and_price(tree_file):
    question = house_questions()[2]
    answer, events = await asked(tree_file, question.question, question.options)
    assert (answer.status, answer.text) == ("answered", "A. number6")
    assert answer.letter == "A"
    leaves = [each for each in answer.evidence if len(each.path) == 3]
    assert any("number6" in each.caption and each.start == 60.0 for each in leaves)
    assert [list(each.path) for each in answer.evidence if each.asked] == [answer.visits[-1]["path"]]
    cost = answer.cost
    assert (cost.visits, cost.visit_units, cost.segments) == (len(answer.visits), cost.visits + 1.0, 39)
    assert cost.exhaustive == {
        "visits": 27, "captions_to_make": 0,
        "prompt_tokens": round(sum(len(house_tree().captions[path]) for path in house_tree().grid.paths(3)) / 4),
    }  # fmt: skip
    assert cost.visits < 27
    kinds = [event["type"] for event in events]
    assert (kinds[:2], kinds[-1]) == (["begin", "overview"], "answer")
    opened = [event["path"] for event in events if event["type"] == "opened"]
    assert opened == [visit["path"] for visit in answer.visits]


async def test_a_question_without_options_is_answered_in_words(tree_file):
    for policy in ("descent", "uniform", "exhaustive"):
        answer, _ = await asked(tree_file, "Who fixes the bicycle?", parts=AskSettings(policy))
        assert (answer.status, answer.letter) == ("answered", None)
        assert policy == "uniform" or "fixes bicycle" in answer.text


class Saying:
    """A policy of given messages, one a turn."""

    name = "saying"

    def __init__(self, *messages):
        self.messages = messages

    async def reply(self, task, messages):
        turn = sum(message["role"] == "assistant" for message in messages)
        return Reply(self.messages[turn])


@pytest.mark.parametrize(("content", "text"), [
    ('<tool_call>{"name": "get_caption", "arguments": {"segment": [1', None),
    ('I look.\n<tool>get_caption((1, 2)', None),
    ("<function=get_caption>[1, 2]", None),
    ('<tool_call>{"name": </tool_call><answer>the bicycle</answer>', "the bicycle"),
    ("With a tool: a hammer, 3 < 4.", "With a tool: a hammer, 3 < 4."),
])  # fmt: skip
async def test_a_call_that_cannot_be_read_is_no_answer_in_words(tree_file, content, text):
    answer, _ = await asked(tree_file, "What is fixed?", policy=Saying(assistant_message("", content)))
    assert answer.text == text
    assert answer.status == ("unparsable" if text is None else "answered")


async def test_each_reply_about_a_clip_stands_with_its_own_segment(tree_file):
    class Answerer:
        def answer(self, tree, path, query):
            return "Error: that is what the screen of the computer says" if path == (1, 1, 1) else f"seen in {path}"

    calls = [
        ("get_caption", {"segment": [1, 1, 1]}), ("video_qa", {"segment": [1, 1, 1], "query": "one"}),
        ("get_caption", {"segment": [9]}), ("video_qa", {"segment": [1, 1, 2], "query": "too early"}), ("fly", {}),
        ("get_caption", {"segment": [1, 1, 2]}), ("video_qa", {"segment": [1, 1, 2], "query": "two"}),
    ]  # fmt: skip
    policy = Saying(assistant_message("", calls=calls), assistant_message("", "It is done."))
    async with await open_source(tree_file, AskSettings()) as source:
        source.answerer = Answerer()
        answer = await ask(source, policy, make_question(source, "What?"), lambda event: None)
    assert {each.path: each.asked for each in answer.evidence} == {
        (1, 1, 1): (("one", "Error: that is what the screen of the computer says"),),
        (1, 1, 2): (("two", "seen in (1, 1, 2)"),),
    }


async def test_subtitles_of_another_name_look_at_the_video_that_is_given(clip, stub, tmp_path):
    video = Path(shutil.copy(clip, tmp_path / "talk.mp4"))
    (tmp_path / "talk.en.srt").write_text("1\n00:00:01,000 --> 00:00:30,000\nthe volcano erupts\n")
    parts = AskSettings(captioner=Server(stub, "stub"), **SMALL)
    async with await open_source(tmp_path / "talk.en.srt", parts, video) as source:
        assert source.tree.video_id == "talk"
        answer = await ask(source, choose_policy(parts), make_question(source, "What erupts?"), lambda event: None)
    (reply,) = [reply for each in answer.evidence for _, reply in each.asked]
    assert "16 frames" in reply
    assert answer.cost.captions_made == 0


async def test_a_rule_answers_with_options_and_without(tree_file):
    answer, _ = await asked(tree_file, "What does someone do while the water boils?", parts=AskSettings("best_first"))
    assert (answer.status, answer.letter) == ("answered", None)
    assert answer.text
    answer, _ = await asked(tree_file, "Which object is there while someone boils water?", ("number3", "number9"),
                            parts=AskSettings("best_first"))  # fmt: skip
    assert answer.status == "answered"
    assert answer.letter in ("A", "B")


async def test_subtitles_answer_without_any_model(tmp_path):
    (tmp_path / "talk.srt").write_text(SRT)
    answer, _ = await asked(tmp_path / "talk.srt", "What erupts?")
    assert "volcano" in answer.text
    when, _ = await asked(tmp_path / "talk.srt", "When does the volcano erupt?")
    assert when.text in [f"{clock(each.start)}-{clock(each.end)}" for each in when.evidence]
    assert (answer.cost.captions_made, answer.cost.vision, answer.cost.usd) == (0, {}, 0.0)


async def test_a_video_answers_from_what_was_heard_and_read_without_any_model(clip, tmp_path):
    video = Path(shutil.copy(clip, tmp_path / "talk.mp4"))
    rows = [
        {"start": 1, "end": 4, "text": "The ferry leaves at noon.", "kind": "speech"},
        {"start": 12, "end": 15, "text": "Theorem 3.2 (Noether)", "kind": "screen"},
    ]
    (tmp_path / "talk.lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read, _ = await asked(video, "Whose theorem is 3.2?", ("Noether", "Stokes"))
    said, _ = await asked(video, "When does the ferry leave?", ("at midnight", "at noon"))
    assert (read.letter, said.letter) == ("A", "B")
    assert any("On screen: Theorem 3.2 (Noether)." in each.caption for each in read.evidence)
    assert (read.cost.captions_made, read.cost.usd) == (0, 0.0)


async def test_a_video_without_any_lines_says_how_it_could_be_heard(clip, tmp_path):
    with pytest.raises(InputError) as error:
        await open_source(Path(shutil.copy(clip, tmp_path / "mute.mp4")), AskSettings())
    assert error.value.field == "captions"
    assert "--lines speech,screen" in error.value.hint


async def test_a_video_is_captioned_only_where_it_is_opened_and_only_once(clip, stub, tmp_path):
    video = shutil.copy(clip, tmp_path / "clip.mp4")
    parts = AskSettings(captioner=Server(stub, "stub"), **SMALL)
    async with await open_source(Path(video), parts) as source:
        question = make_question(source, "What is shown?")
        first = await ask(source, choose_policy(parts), question, lambda event: None)
    opened = {tuple(visit["path"]) for visit in first.visits if visit["tool"] == "get_caption"}
    assert first.cost.captions_made == len(opened) + 4
    assert first.cost.vision["images"] > 0
    assert first.cost.exhaustive["captions_to_make"] == 64 - sum(len(path) == 3 for path in opened)
    assert len(list((tmp_path / ".clipscout").rglob("[0-9]*.json"))) == first.cost.captions_made
    second, _ = await asked(Path(video), "What is shown?", parts=parts)
    assert second.cost.captions_made == 0
    assert second.evidence == first.evidence


async def test_frames_of_a_segment_are_the_segments_own(clip, stub, tmp_path):
    from runtime.testing.numbered_clip import read_number

    video = shutil.copy(clip, tmp_path / "clip.mp4")
    async with await open_source(Path(video), AskSettings(captioner=Server(stub, "stub"), **SMALL)) as source:
        start, end = source.tree.grid.interval((3, 2))
        found = await source.thumbnails((3, 2))
        shown = [read_number(jpeg) / 5 for jpeg in found.jpegs]
        assert shown == pytest.approx(found.shown)
        assert all(start - 0.2 <= time < end for time in shown)
        with pytest.raises(InputError):
            await source.thumbnails((9,))


async def test_a_tree_finds_its_video_beside_it(clip, stub, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    store = TreeStore(tmp_path)
    store.save(house_tree("clip"))
    async with await open_source(store.path("clip"), AskSettings(clips=Server(stub, "stub"))) as source:
        question = make_question(source, "Who works in the kitchen?")
        answer = await ask(source, choose_policy(AskSettings()), question, lambda event: None)
        assert len((await source.thumbnails((1, 1))).jpegs) == 4
    (reply,) = [reply for each in answer.evidence for _, reply in each.asked]
    assert "16 frames" in reply


@pytest.mark.parametrize(
    ("parts", "field", "said"),
    [
        (AskSettings(), "captions", "pass --caption-url"),
        (
            AskSettings(captioner=Server("http://127.0.0.1:9/v1", "stub", 2.0), **SMALL),
            "captions or clips",
            "start the",
        ),
        (AskSettings(captioner=Server("http://127.0.0.1:9/v1", "")), "--caption-model", "--caption-url"),
        (AskSettings("endpoint"), "--url", "vllm serve"),
        (AskSettings("local"), "--model", "make sft"),
        (AskSettings("telepathy"), "--policy", "descent"),
        (AskSettings("endpoint", policy_server=Server("http://127.0.0.1:9/v1", "m", 2.0)), "policy", "--url"),
    ],
    ids=range(7),
)
async def test_a_missing_part_is_named_with_how_to_start_it(parts, field, said, clip, tmp_path):
    video = Path(shutil.copy(clip, tmp_path / "clip.mp4"))
    source = video
    if parts.policy != "descent":
        TreeStore(tmp_path).save(house_tree("other"))
        source = tmp_path / "other.json"
    with pytest.raises(InputError) as error:
        await asked(source, "What?", parts=parts)
    assert error.value.field == field
    assert said in error.value.hint


@pytest.mark.parametrize("name", ["nothing.mp4", "folder", "words.txt", "broken.json", "empty.mp4", "list.json"])
async def test_what_cannot_be_asked_is_refused_with_a_reason(name, tmp_path):
    (tmp_path / "folder").mkdir()
    for file, text in (("words.txt", "x"), ("broken.json", '{"video_id": '), ("empty.mp4", ""), ("list.json", "[]")):
        (tmp_path / file).write_text(text)
    with pytest.raises(InputError):
        await asked(tmp_path / name, "What?")


@pytest.mark.parametrize(
    ("text", "options"), [("", ()), ("  ", ()), ("x" * 5000, ()), ("q", ("one",)), ("q", ("a", "")), ("q", ("a",) * 27)]
)
async def test_a_question_that_is_none_is_refused(text, options, tree_file):
    with pytest.raises(InputError):
        await asked(tree_file, text, options)


async def test_out_of_turns_is_told_as_such(tree_file):
    answer, _ = await asked(tree_file, "Who?", ("a", "b"), limits=Limits(turns=1))
    assert (answer.status, answer.text) == ("out_of_turns", None)


def command(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "clipscout.main", "ask", *map(str, arguments)], capture_output=True, text=True, **more
    )


def test_the_command_for_people_and_for_programs(tree_file):
    question = house_questions()[0]
    options = [part for option in question.options for part in ("-o", option)]
    people = command(tree_file, question.question, *options)
    assert people.returncode == 0, people.stderr
    assert "Answer  A. number0" in people.stdout
    assert "Reading every leaf: 27 visits" in people.stdout
    both = command(tree_file, "--json", input=f"{question.question} | {' | '.join(question.options)}\n\nWho? | a | b\n")
    assert both.returncode == 0, both.stderr
    records = [json.loads(line) for line in both.stdout.splitlines()]
    assert (len(records), records[0]["letter"]) == (2, "A")
    assert set(records[0]) == set(Answer.__dataclass_fields__)
    assert records[0]["messages"][0]["role"] == "system"
    missing = command(tree_file, "Who?", "--policy", "local")
    assert (missing.returncode, missing.stdout.count("Answer")) == (2, 0)
    assert "Traceback" not in missing.stderr


def test_ctrl_c_leaves_a_cache_that_is_used(clip, tmp_path):
    video = shutil.copy(clip, tmp_path / "clip.mp4")
    served = subprocess.Popen(
        [sys.executable, "-u", "-m", "runtime.testing.caption_server", "--latency", "0.3"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = served.stdout.readline().split()[2].rstrip(":")
        options = ["--caption-url", address, "--caption-model", "stub", "--frames", "2,3,4", "--sides", "64,48,32"]
        asking = subprocess.Popen(
            [sys.executable, "-u", "-m", "clipscout.main", "ask", str(video), "What?", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            # A shell that runs the tests in the background has them, and their children, ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        for line in asking.stdout:
            if line.strip().startswith("2."):
                break
        asking.send_signal(signal.SIGINT)
        said, _ = asking.communicate(timeout=120)
        assert asking.returncode == 130, said
        assert "captions written so far are kept" in said
        kept = len(list((tmp_path / ".clipscout").rglob("[0-9]*.json")))
        assert kept >= 6
        again = command(video, "What?", "--json", *options)
        record = json.loads(again.stdout)
        opened = sum(visit["tool"] == "get_caption" for visit in record["visits"])
        assert record["cost"]["captions_made"] <= 4 + opened - kept + 1
        assert record["status"] == "answered"
    finally:
        served.kill()
        served.wait()


def test_every_policy_is_offered():
    assert set(POLICIES) >= {"descent", "local", "endpoint"}


async def test_a_limit_on_money_stops_before_it_is_passed(clip, stub, tmp_path):
    video = Path(shutil.copy(clip, tmp_path / "clip.mp4"))
    prices = tmp_path / "prices.yaml"
    prices.write_text("models: {seer: {prompt: 10.0, completion: 0.0}}")
    free = AskSettings(captioner=Server(stub, "seer"), prices=prices, **SMALL)
    await asked(video, "What is shown?", parts=free)
    cost = free.budget.spent
    assert cost > 0
    shutil.rmtree(tmp_path / ".clipscout")
    parts = AskSettings(captioner=Server(stub, "seer"), prices=prices, budget=Budget(0.75 * cost), **SMALL)
    with pytest.raises(LimitReached) as error:
        await asked(video, "What is shown?", parts=parts)
    assert error.value.field == "--max-usd"
    assert 0 < parts.budget.spent <= 0.75 * cost
    kept = len(list((tmp_path / ".clipscout").rglob("[0-9]*.json")))
    assert kept > 0
    with pytest.raises(InputError) as error:
        await asked(
            video, "What?", parts=AskSettings(captioner=Server(stub, "unheard-of"), budget=Budget(1.0), **SMALL)
        )
    assert (error.value.field, error.value.value) == ("model", "unheard-of")


async def test_a_model_that_episodes_stops_at_the_limit_too(tree_file):
    parts = AskSettings("endpoint", policy_server=Server("http://127.0.0.1:9/v1", "gpt-4o", 2.0), budget=Budget(1e-9))
    with pytest.raises(LimitReached) as error:
        await asked(tree_file, "What?", parts=parts)
    assert error.value.field == "--max-usd"


def test_the_command_says_in_one_line_that_the_money_is_spent(tree_file):
    options = ["--url", "http://127.0.0.1:9/v1", "--model", "gpt-4o", "--json"]
    spent = command(tree_file, "What?", *options, "--max-usd", "0.000001")
    assert (spent.returncode, spent.stdout) == (2, "")
    (line,) = spent.stderr.splitlines()
    assert "--max-usd" in line
    assert "limit on money" in line
    for wrong in (["--max-usd", "0"], ["--max-usd", "1", "--model", "unheard-of"]):
        refused = command(tree_file, "What?", *options, *wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)


async def test_a_rule_that_searches_is_charged_for_it_and_told(tree_file):
    question = house_questions()[2]
    parts = AskSettings(policy="search_read")
    with pytest.raises(InputError) as error:
        await asked(tree_file, question.question, question.options, parts)
    assert error.value.field == "--tools"
    tools = (*DEFAULT_TOOLS, "search")
    answer, events = await asked(tree_file, question.question, question.options, parts, tools=tools)
    assert answer.status == "answered"
    found = [event for event in events if event["type"] == "found"]
    assert answer.cost.lookups == len(found) > 0
    assert answer.cost.visit_units == answer.cost.visits + len(found)
    assert "[" in found[0]["reply"]


async def test_a_model_has_the_tools_and_the_search_that_it_was_trained_with(tree_file, tmp_path):
    """Of its record, whatever it is called; others are refused before anything is asked."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    search = {"count": 2, "words": 7, "sources": ["captions"], "embedder": ""}
    record = {"stage": "sft", "tools": ["get_caption", "search"], "search": search}
    (checkpoint / "clipscout.json").write_text(json.dumps(record), encoding="utf-8")
    parts = read_settings(model=str(checkpoint))
    assert (parts.tools, parts.search) == (("get_caption", "search"), SearchSettings(2, 7, ("captions",)))
    assert read_settings(model=str(checkpoint), search_words=9).search == SearchSettings(2, 9, ("captions",))
    assert read_settings().search == SearchSettings()

    class Trained(DescentPolicy):
        trained_tools, trained_search = parts.tools, parts.search

    question = house_questions()[2]
    for tools, settings, field in (
        (DEFAULT_TOOLS, parts, "--tools"),
        (parts.tools, AskSettings(tools=parts.tools), "search"),
    ):
        with pytest.raises(InputError) as error:
            await asked(tree_file, question.question, question.options, settings, Trained(), tools=tools)
        assert error.value.field == field


async def test_a_search_on_demand_covers_what_is_written_and_makes_nothing(clip, stub, tmp_path):
    class Looks(Policy):
        name = "looks"

        async def reply(self, task, messages):
            turn = sum(message["role"] == "assistant" for message in messages)
            calls = [("search", {"query": "frames of a clip"}), ("get_caption", {"segment": [1, 1]})]
            return Reply(assistant_message("", "" if turn < 2 else "<answer>A</answer>", calls[turn : turn + 1]))

    parts = AskSettings(captioner=Server(stub, "stub"), cache=tmp_path, **SMALL)
    tools = (*DEFAULT_TOOLS, "search")
    for written in (4, 5):
        answer, events = await asked(clip, "What?", ("a", "b"), parts, Looks(), tools=tools)
        (found,) = [event for event in events if event["type"] == "found"]
        assert f"Searched {written} of 84 captions" in found["reply"]
        assert answer.cost.captions_made == (5 if written == 4 else 0)
