"""The viewer over runs that are at work: steps are added, files brought into order, questions written anew."""

import json
import re

import pytest
from starlette.testclient import TestClient

from clipscout.view.app import view_app
from clipscout.view.runs import find_sets
from navigation import write_jsonl


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pages(runs):
    """The text of a page of the named set below the house's runs."""

    def start(name):
        sets = find_sets(runs / name)
        client = TestClient(view_app(sets), base_url="http://localhost")

        def page(url):
            reply = client.get(url)
            assert reply.status_code == 200, reply.text
            return reply.text

        return page

    return start


def listed(page):
    """Ids of the trajectories in the list, by their addresses."""
    return dict(re.findall(r'href="(/trajectory/\d+/\d+)\?[^"]*">[^<]*</a><small>([^<]*)</small>', page))


def test_a_step_that_is_added_is_shown(runs, pages):
    page = pages("grpo")
    assert len(listed(page("/"))) == 8
    rows = read(runs / "grpo/rollouts/step-000002.jsonl")
    write_jsonl(runs / "grpo/rollouts/step-000003.jsonl", (row | {"step": 3} for row in rows[:1]))
    assert len(listed(page("/"))) == 9
    assert len(listed(page("/?step=3"))) == 1


def test_an_address_leads_to_its_trajectory_when_the_file_was_brought_into_order(runs, pages):
    path = runs / "eval/random/trajectories.jsonl"
    page = pages("eval/random")
    rows = read(path)
    for order in (rows, rows[::-1], rows[3:] + rows[:3]):
        write_jsonl(path, order)
        found = listed(page("/"))
        assert list(found.values()) == [row["id"] for row in order]
        for number, row in enumerate(order):
            write_jsonl(path, order)
            shown = page(f"/trajectory/0/{number}")
            assert f"<title>{row['id']} " in shown
            assert [len(row["visits"])] == [int(n) for n in re.findall(r">(\d+) visits?,", shown)]


def test_questions_that_were_written_anew_are_shown(runs, pages):
    page = pages("eval/random")
    first = read(runs / "questions.jsonl")
    assert first[0]["question"] in page("/trajectory/0/0")
    write_jsonl(runs / "questions.jsonl", (row | {"question": "Where is it now?"} for row in first[::-1]))
    assert "Where is it now?" in page("/trajectory/0/0")


def test_an_address_of_an_earlier_version_leads_to_the_page(runs):
    client = TestClient(view_app(find_sets(runs / "eval/expert")), base_url="http://localhost")
    reply = client.get("/walk/0/1?correct=right", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (307, "http://localhost/trajectory/0/1?correct=right")
