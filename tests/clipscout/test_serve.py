"""The server's two interfaces: what they answer, what they refuse, and that only what was given is served."""

import http.client
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.ask.settings import AskSettings, Server
from clipscout.serve.library import Library
from clipscout.serve.openai_api import question_of
from clipscout.serve.prompts import split_prompt
from navigation import InputError, TreeStore, write_json, write_jsonl
from runtime import Budget
from tests.clipscout.world import house_questions, house_tree

QUESTION = house_questions()[2]


@pytest.fixture
def folder(tmp_path):
    """Two trees, and files that must not be served."""
    folder = tmp_path / "given"
    for name in ("house", "barn"):
        TreeStore(folder / "trees").save(house_tree(name))
    (folder / "secret.txt").write_text("not for you")
    write_json(folder / "settings.json", {"key": "not for you"})
    (folder / ".hidden").mkdir()
    TreeStore(folder / ".hidden").save(house_tree("hidden"))
    TreeStore(tmp_path / "outside").save(house_tree("outside"))
    (folder / "link.json").symlink_to(tmp_path / "outside" / "outside.json")
    (folder / "linked").symlink_to(tmp_path / "outside")
    return folder


@pytest.fixture
def running(asking, folder):
    return asking([folder], AskSettings())


def sse(text):
    """Data of the events of a stream."""
    return [line[6:] for line in text.splitlines() if line.startswith("data: ")]


def test_a_chat_completion_like_openais(running, client):
    import openai

    model = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    assert {each.id for each in model.models.list()} == {"clipscout", "clipscout/trees/barn", "clipscout/trees/house"}
    lettered = (f"{letter}. {option}" for letter, option in zip("ABCD", QUESTION.options, strict=True))
    text = "\n".join([QUESTION.question, *lettered])
    reply = model.chat.completions.create(
        model="clipscout/trees/house", messages=[{"role": "user", "content": text}]
    )  # fmt: skip
    assert reply.choices[0].message.content == "A. number6"
    assert reply.choices[0].finish_reason == "stop"
    record = reply.model_extra["clipscout"]
    assert record["options"] == list(QUESTION.options)
    assert record["cost"]["visits"] == len(record["visits"]) > 0
    chunks = list(
        model.chat.completions.create(
            model="clipscout", messages=[{"role": "user", "content": QUESTION.question}], stream=True,
            extra_body={"video": "house", "options": list(QUESTION.options)},
        )
    )  # fmt: skip
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "A. number6"
    thought = "".join((chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "") for chunk in chunks)
    assert all(f"[opened {visit['path']}]" in thought for visit in record["visits"] if visit["tool"] == "get_caption")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["clipscout"]["letter"] == "A"


def test_events_come_in_the_order_of_the_episode(running, client):
    body = {"video": "house", "question": QUESTION.question, "options": list(QUESTION.options)}
    reply = client.post(f"{running.url}/api/ask", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(data) for data in sse(reply.text)]
    assert [event["type"] for event in events[:2]] == ["begin", "overview"]
    assert (events[-1]["type"], events[-1]["text"]) == ("answer", "A. number6")
    opened = [each["path"] for each in events if each["type"] == "opened"]
    assert opened == [each["path"] for each in events[-1]["visits"]]


def test_only_what_was_given_is_listed(running, client):
    found = client.get(f"{running.url}/api/videos").json()
    assert [(each["name"], each["kind"]) for each in found["videos"]] == [
        ("trees/barn", "tree"),
        ("trees/house", "tree"),
    ]
    assert client.get(f"{running.url}/api/videos?text=BARN").json()["count"] == 1


def test_the_list_says_how_long_and_what_may_be_asked(asking, client, tmp_path, clip):
    folder = tmp_path / "given"
    TreeStore(folder / "world/trees").save(house_tree())
    write_jsonl(folder / "world/questions.jsonl", (question.to_dict() for question in house_questions()))
    write_jsonl(tmp_path / "questions.jsonl", ({"id": "outside"} for _ in range(1)))
    TreeStore(folder / "other").save(house_tree("barn"))
    (folder / "talk.srt").write_text("1\n00:00:01,000 --> 00:01:02,500\nhello\n")
    shutil.copy(clip, folder / "clip.mp4")
    found = client.get(f"{asking([folder], AskSettings()).url}/api/videos").json()["videos"]
    assert {each["name"]: each["duration"] for each in found} == {
        "clip": pytest.approx(32, abs=0.5), "other/barn": 270.0, "talk": 62.5, "world/trees/house": 270.0,
    }  # fmt: skip
    asked = {each["name"]: [example["question"] for example in each["examples"]] for each in found}
    assert asked.pop("world/trees/house") == [question.question for question in house_questions()[:5]]
    assert set(map(tuple, asked.values())) == {()}


def test_an_answer_is_held_under_its_address(running, client):
    (key,) = [each["key"] for each in client.get(f"{running.url}/api/videos?text=house").json()["videos"]]
    body = {"video": key, "question": QUESTION.question, "options": list(QUESTION.options)}
    told = [json.loads(data) for data in sse(client.post(f"{running.url}/api/ask", json=body).text)]
    name = told[0]["id"].partition("/")[2]
    assert client.get(f"{running.url}/api/answers/{name}").json() == {"video": key, "events": told}
    for other in ("0" * 16, "..%2f..%2fetc%2fpasswd"):
        assert client.get(f"{running.url}/api/answers/{other}").status_code == 404


def test_a_segment_and_what_it_holds(running, client):
    (key,) = [each["key"] for each in client.get(f"{running.url}/api/videos?text=house").json()["videos"]]
    tree = client.get(f"{running.url}/api/videos/{key}").json()
    assert (tree["duration"], tree["width"], tree["depth"], tree["frames"]) == (270.0, 3, 3, False)
    segment = client.get(f"{running.url}/api/videos/{key}/segments/2-1-3").json()
    assert (segment["start"], segment["end"], segment["known"]) == (110.0, 120.0, True)
    assert segment["caption"] == house_tree().captions[(2, 1, 3)]
    assert [line["text"] for line in segment["lines"]] == ["spoken 11"]
    assert client.get(f"{running.url}/api/videos/{key}/segments/2-1-3/frames/0.jpg").status_code == 404


def test_frames_are_those_of_the_segment(asking, client, clip, tmp_path):
    from runtime.testing.numbered_clip import read_number

    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:20,000\nhello\n")
    shutil.copy(clip, tmp_path / "clip.mp4")
    running = asking([tmp_path], AskSettings())
    (video,) = client.get(f"{running.url}/api/videos").json()["videos"]
    assert video["kind"] == "video"
    base = f"{running.url}/api/videos/{video['key']}/segments/4-2"
    segment = client.get(base).json()
    assert not segment["known"]
    shown = [client.get(f"{base}/frames/{number}.jpg") for number in range(len(segment["times"]))]
    assert [reply.headers["content-type"] for reply in shown] == ["image/jpeg"] * 4
    assert [read_number(reply.content) / 5 for reply in shown] == pytest.approx(segment["times"])
    assert client.get(f"{base}/frames/4.jpg").status_code == 404


ELSEWHERE = (
    "/static/../command.py", "/static/%2e%2e/command.py", "/static/..%2fcommand.py", "/static//etc/passwd",
    "/static/%2fetc%2fpasswd", "/../../etc/passwd", "/api/videos/..%2f..%2fsecret.txt", "/api/videos/secret",
    "/api/videos/outside", "/api/videos/link", "/api/videos/.hidden/hidden", "/api/videos/settings",
    "/api/videos/%00", "/api/videos/house/segments/../../secret.txt", "/api/videos/house/segments/9-9-9",
    "/api/videos/house/segments/0", "/api/videos/house/segments/1-1-1-1-1", "/api/videos/house/segments/-1",
    "/api/videos/house/segments/1%0d%0aX-Y:%20z", "/api/videos/house/segments/99999999999999999999",
    "/api/videos/house/segments/1/frames/99999999999999999999.jpg", "/static/app.js%00.css", "/openapi.json",
    "/docs",
)  # fmt: skip


def test_nothing_else_is_served(running):
    import http.client

    for path in ELSEWHERE:
        connection = http.client.HTTPConnection(*running.address, timeout=60)
        connection.putrequest("GET", path)
        connection.endheaders()
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        assert reply.status in (400, 404), path
        assert "not for you" not in text
        assert "root:" not in text


def test_a_file_that_became_a_way_out_is_not_opened(folder, tmp_path):
    library = Library([folder])
    entry = library.get("barn")
    assert entry.checked() == folder / "trees" / "barn.json"
    os.unlink(entry.path)
    with pytest.raises(InputError) as error:
        entry.checked()
    assert (error.value.field, error.value.value) == ("video", "trees/barn")
    entry.path.symlink_to(tmp_path / "outside" / "outside.json")
    with pytest.raises(InputError) as error:
        entry.checked()
    assert (error.value.field, error.value.value) == ("video", "trees/barn")


def test_names_that_several_have_are_not_guessed(tmp_path):
    for name in ("one", "two"):
        TreeStore(tmp_path / name).save(house_tree("same"))
    library = Library([tmp_path])
    assert library.get("one/same").name == "one/same"
    with pytest.raises(InputError) as error:
        library.get("same")
    assert (error.value.field, error.value.value) == ("video", "same")
    assert "several" in error.value.hint
    with pytest.raises(InputError) as error:
        library.get("other")
    assert (error.value.field, error.value.value) == ("video", "other")
    assert "none" in error.value.hint
    assert library.get(library.entries[1].key) is library.entries[1]


@pytest.mark.parametrize("sources", [["nothing"], ["."], ["words.txt"]])
def test_a_server_without_anything_to_ask_does_not_start(sources, tmp_path):
    (tmp_path / "words.txt").write_text("x")
    with pytest.raises(InputError):
        Library([tmp_path / source for source in sources])


CHAT = "/v1/chat/completions"
WRONG = (
    ("/api/ask", b"{"), ("/api/ask", b"[]"), ("/api/ask", b"[" * 100_000), ("/api/ask", b'{"video": "house"}'),
    ("/api/ask", b'{"video": "house", "question": ""}'), ("/api/ask", b'{"video": "none", "question": "q"}'),
    ("/api/ask", b'{"video": 3, "question": "q"}'),
    ("/api/ask", b'{"video": "house", "question": "q", "options": "a"}'),
    ("/api/ask", b'{"video": "house", "question": "q", "options": ["a"]}'),
    (CHAT, b'{"messages": [{"role": "user", "content": "q"}]}'), (CHAT, b'{"video": "house", "messages": []}'),
    (CHAT, b'{"video": "house", "messages": [{"role": "system", "content": "q"}]}'),
    (CHAT, b'{"video": "house", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}'),
    (CHAT, b'{"model": "clipscout/../secret", "messages": [{"role": "user", "content": "q"}]}'),
    (CHAT, b"\xff\xfe"), (CHAT, b""),
)  # fmt: skip


def test_wrong_requests_are_told_what_is_wrong(running, client):
    for url, body in WRONG:
        reply = client.post(running.url + url, content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 400, body
        assert reply.json()["error"]["message"]
    # What a form of another site can send.
    fine = b'{"video": "house", "question": "q"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert client.post(f"{running.url}/api/ask", content=fine, headers={"content-type": kind}).status_code == 400
    assert client.get(f"{running.url}/healthz").json()["navigating"] == 0


def test_methods_and_sizes_are_kept_to(running, client):
    assert client.get(f"{running.url}/api/ask").status_code == 405
    # Refused by what the head claims. A client that was still sending could miss the answer: the server hangs up.
    connection = http.client.HTTPConnection(*running.address, timeout=30)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", "2000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_model_that_is_away_is_told_and_found_again(asking, client, clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    parts = AskSettings(captioner=Server("http://127.0.0.1:9/v1", "stub", 2.0), frames=(2, 3, 4), sides=(64, 48, 32))
    running = asking([tmp_path], parts)
    for _ in range(2):
        asked = client.post(f"{running.url}/api/ask", json={"video": "clip", "question": "q"})
        events = [json.loads(data) for data in sse(asked.text)]
        assert events[-1]["type"] == "error"
        assert events[-1]["message"].startswith("No model answers: the one that writes captions or looks at clips")
        assert "Start the model" in events[-1]["message"]
        stream = {"stream": True, "messages": [{"role": "user", "content": "q"}]}
        lines = sse(client.post(f"{running.url}/v1/chat/completions", json=stream).text)
        assert "start the model" in json.loads(lines[-2])["error"]["message"]
        assert lines[-1] == "[DONE]"
    assert client.get(f"{running.url}/healthz").json()["navigating"] == 0


def test_a_server_whose_money_is_spent_refuses_what_costs(asking, client, folder):
    parts = AskSettings("endpoint", policy_server=Server("http://127.0.0.1:9/v1", "gpt-4o", 2.0), budget=Budget(1e-9))
    running = asking([folder], parts)
    body = {"model": "clipscout/trees/house", "messages": [{"role": "user", "content": "q"}]}
    first = client.post(f"{running.url}/v1/chat/completions", json=body)
    assert (first.status_code, first.json()["error"]["type"]) == (503, "insufficient_quota")
    assert "limit on money" in first.json()["error"]["message"]
    for path, asked in (
        ("/v1/chat/completions", {**body, "stream": True}),
        ("/api/ask", {"video": "trees/house", "question": "q"}),
    ):
        assert client.post(f"{running.url}{path}", json=asked).status_code == 503
    assert client.get(f"{running.url}/healthz").json()["navigating"] == 0


@pytest.mark.parametrize(
    ("content", "question", "options"),
    [
        ("What?\nA. one\nB) two\n", "What?", ("one", "two")),
        ("What?\nA. one", "What?\nA. one", ()),
        ("A. one\nB. two", "A. one\nB. two", ()),
        ("What?\nB. two\nC. three", "What?\nB. two\nC. three", ()),
        ([{"type": "text", "text": "What?"}, {"type": "image_url"}], "What?", ()),
    ],
)
def test_a_question_is_read_from_the_last_user_message(content, question, options):
    before = [{"role": "user", "content": "earlier"}, {"role": "assistant", "content": "x"}]
    messages = [*before, {"role": "user", "content": content}]
    assert question_of({"messages": messages}) == (question, options)


OPTIONS = ("one thing", "two", "three", "four")


def listed(form, labels="ABCD", end="\n"):
    return end.join(form.format(label, option) for label, option in zip(labels, OPTIONS, strict=True))


TASK = "Select the best answer to the following question. Respond with only the letter of the correct option.\n"
STYLES = {
    "letters": "What?\n" + listed("{}. {}"),
    "letters without blanks": "What?\n" + listed("{}.{}"),
    "task before, best answer behind": TASK + "What?\n" + listed("{}. {}") + "\nThe best answer is:",
    "post-prompt": "What?\n" + listed("{}. {}") + "\nAnswer with the option's letter from the given choices directly.",
    "answer": "What?\n" + listed("{}. {}") + "\nAnswer:",
    "brackets": "What?\n" + listed("({}) {}"),
    "headings": "Question: What?\nOptions:\n" + listed("({}) {}") + "\nOnly give the best option.\nBest option: (",
    "blank lines": "What?\n\n" + listed("{}. {}", end="\n\n") + "\n",
    "colons": "What?\n" + listed("{}: {}") + "\n\nA:",
    "small letters": "What?\n" + listed("{}) {}", "abcd"),
    "small letters in brackets": "What?\n" + listed("({}) {}", "abcd"),
    "numbers": "What?\n" + listed("{}. {}", "1234") + "\nAnswer with the number.",
    "numbers in brackets": "What?\n" + listed("({}) {}", "1234"),
    "markdown": "**Question:** What?\n**Options:**\n" + listed("- **{}.** {}") + "\n\n**Answer:**",
    "one line": "What? " + listed("({}) {}", end=" "),
    "one line behind a heading": "What?\nOptions: " + listed("{}. {}", end=" ") + "\nAnswer:",
    "thoughts": "What?\n" + listed("{}. {}") + "\nA: Let's think step by step.",
    "windows": "What?\r\n" + listed("{}. {}", end="\r\n") + "\r\nAnswer:",
    "chinese": "What?\n" + listed("{}、{}") + "\n请直接回答选项字母",
    "question behind": listed("{}. {}") + "\nWhat?",
}


@pytest.mark.parametrize("style", STYLES)
def test_prompts_of_evaluation_tools_keep_their_options(style):
    question, options = question_of({"messages": [{"role": "user", "content": STYLES[style]}]})
    assert options == OPTIONS
    assert question.removeprefix(TASK) == "What?"


@pytest.mark.parametrize(
    "text",
    ["Compare plan A. Then plan B. Which?", "What did A. B. Smith do?", "Is 1. e4 e5 2. Nf3 good?", "At 1:30 or 2:40?",
     "Who?\n1. x", "What?\nA. one\nC. two", "At\n1:30 what?\n2:40 what?"],
)  # fmt: skip
def test_what_is_no_list_of_options_stays_a_question(text):
    assert question_of({"messages": [{"role": "user", "content": text}]}) == (text, ())


def test_options_go_on_in_the_lines_below_and_other_texts_behind_them_stay():
    text = "What?\nA. one\n   and more\nB. two\nSubtitles: 0:01 hello\nAnswer:"
    assert question_of({"messages": [{"role": "user", "content": text}]}) == (
        "What?\nSubtitles: 0:01 hello", ("one and more", "two"),
    )  # fmt: skip


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["A.", "B)", "(C)", "\n", " ", "x", "1.", ":", "Answer:"])).map("".join)
)
def test_any_prompt_is_a_question(text):
    question, options, dropped = split_prompt(text)
    assert question == text or (len(options) >= 2 and all(options) and question)
    assert all(line in text for line in dropped)


@pytest.mark.parametrize(
    "style", ["post-prompt", "answer", "brackets", "blank lines", "colons", "small letters", "numbers"]
)
def test_a_client_s_prompt_is_answered_with_a_letter(style, running):
    import openai

    model = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    text = STYLES[style].replace("What?", QUESTION.question)
    for right, option in zip(QUESTION.options, OPTIONS, strict=True):
        text = text.replace(option, right)
    reply = model.chat.completions.create(
        model="clipscout/trees/house", messages=[{"role": "user", "content": text}], temperature=0, max_tokens=16
    )
    assert reply.choices[0].message.content == "A. number6"
    assert reply.model_extra["clipscout"]["letter"] == "A"
    assert reply.model_extra["clipscout"]["ignored"] == ["max_tokens", "temperature"]


UNSUPPORTED = {
    "n": 2, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required", "logprobs": True,
    "response_format": {"type": "json_object"}, "logit_bias": {"1": 5}, "modalities": ["text", "audio"],
}  # fmt: skip


def test_what_cannot_be_done_is_refused_by_name_and_what_asks_for_nothing_is_not(running):
    import openai

    model = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    ask = {"model": "clipscout/trees/house", "messages": [{"role": "user", "content": STYLES["letters"]}]}
    for name, value in UNSUPPORTED.items():
        with pytest.raises(openai.BadRequestError, match=f"request: {name} is"):
            model.chat.completions.create(**ask, extra_body={name: value})
    harmless = {"n": 1, "tools": [], "tool_choice": "none", "logprobs": False, "response_format": {"type": "text"}}
    assert model.chat.completions.create(**ask, extra_body=harmless).choices[0].message.content


def test_a_model_is_described_by_its_name(running):
    import openai

    model = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    for each in model.models.list():
        assert model.models.retrieve(each.id) == each
    for name in ("gpt-4o", "clipscout/nothing", "clipscout/../secret"):
        with pytest.raises(openai.NotFoundError):
            model.models.retrieve(name)


def test_a_policy_that_is_away_is_no_fault_of_the_request(asking, folder):
    import openai

    running = asking([folder], AskSettings("endpoint", policy_server=Server("http://127.0.0.1:9/v1", "none", 2.0)))
    model = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.InternalServerError) as error:
        model.chat.completions.create(
            model="clipscout/trees/house", messages=[{"role": "user", "content": STYLES["letters"]}]
        )
    assert error.value.status_code == 502
    assert error.value.body["type"] == "server_error"


def test_static_files_ship_with_the_package():
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["clipscout"]
    shipped = {path for pattern in data for path in (root / "clipscout").glob(pattern)}
    present = {path for kind in ("*/templates/*", "*/static/*") for path in (root / "clipscout").glob(kind)}
    assert shipped == present
    assert any(path.name == "app.js" for path in shipped)
