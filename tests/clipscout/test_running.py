"""The viewer over runs that are at work: steps are added, files brought into order, questions written anew."""

import html
import json
import re
import shutil

import pytest
from starlette.testclient import TestClient

from clipscout.view.app import view_app
from clipscout.view.runs import find_runs
from navigation import write_jsonl


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pages(runs):
    """The text of a page of the named set below the house's runs."""

    def start(name):
        client = TestClient(view_app(find_runs([runs / name])), base_url="http://localhost")

        def page(url):
            reply = client.get(url)
            assert reply.status_code == 200, reply.text
            return reply.text

        return page

    return start


def listed(page):
    """Ids of the trajectories in the list, by their addresses."""
    found = re.findall(r'href="(/trajectory\?[^"]*)">[^<]*</a><small>([^<]*)</small>', page)
    return {html.unescape(address): name for address, name in found}


def test_a_step_that_is_added_is_shown(runs, pages):
    page = pages("grpo")
    assert len(listed(page("/list"))) == 8
    rows = read(runs / "grpo/rollouts/step-000002.jsonl")
    write_jsonl(runs / "grpo/rollouts/step-000003.jsonl", (row | {"step": 3} for row in rows[:1]))
    assert len(listed(page("/list"))) == 9
    assert len(listed(page("/list?step=3"))) == 1


def test_an_address_leads_to_its_trajectory_when_the_file_was_brought_into_order(runs, pages):
    path = runs / "eval/random/trajectories.jsonl"
    page = pages("eval/random")
    rows = read(path)
    for order in (rows, rows[::-1], rows[3:] + rows[:3]):
        write_jsonl(path, order)
        found = listed(page("/list"))
        assert list(found.values()) == [row["id"] for row in order]
        for address, row in zip(found, order, strict=True):
            write_jsonl(path, order[::-1])
            shown = page(address)
            assert f"<title>{row['id']} " in shown
            assert [len(row["visits"])] == [int(n) for n in re.findall(r">(\d+) visits?,", shown)]


def test_questions_that_were_written_anew_are_shown(runs, pages):
    page = pages("eval/random")
    first = read(runs / "questions.jsonl")
    assert first[0]["question"] in page("/trajectory?id=house/0%230")
    write_jsonl(runs / "questions.jsonl", (row | {"question": "Where is it now?"} for row in first[::-1]))
    assert "Where is it now?" in page("/trajectory?id=house/0%230")


def test_the_overview_shows_what_a_run_adds(runs, pages):
    page = pages("eval/random")
    path = runs / "eval/random/trajectories.jsonl"
    rows = read(path)
    assert '<td data-label="episodes">6' in page("/")
    write_jsonl(path, rows[:2])
    assert '<td data-label="episodes">2' in page("/")


def test_an_address_holds_in_another_list_of_runs(runs):
    address = "/trajectory?run=house/eval/random&id=house/2%230"
    for folders in ([runs], [runs / "grpo", runs / "eval"], [runs / "eval/random"], [runs.parent]):
        client = TestClient(view_app(find_runs(folders)), base_url="http://localhost")
        reply = client.get(address)
        assert reply.status_code == 200
        assert "<title>house/2#0 " in reply.text


def test_a_name_that_two_runs_could_mean_is_refused(runs):
    shutil.copytree(runs / "eval", runs / "again/eval")
    client = TestClient(view_app(find_runs([runs])), base_url="http://localhost")
    assert client.get("/list?run=house/eval/random").status_code == 200
    reply = client.get("/list?run=random")
    assert reply.status_code == 400
    assert "house/again/eval/random" in reply.text


def test_runs_of_one_name_are_told_apart_by_the_folders_above(runs):
    shutil.copytree(runs, runs.parent / "other/house")
    found = find_runs([runs, runs.parent / "other/house"])
    assert len(set(found.names)) == 6
    assert f"{runs.parent.name}/house/eval/expert" in found.names
    assert "other/house/eval/expert" in found.names


def test_trajectories_of_one_id_have_addresses_of_their_own(runs, pages):
    path = runs / "eval/random/trajectories.jsonl"
    rows = read(path)
    write_jsonl(path, [rows[0], rows[1] | {"id": rows[0]["id"]}])
    page = pages("eval/random")
    first, second = (
        page(address) for address in re.findall(r'href="(/trajectory[^"]*)"', html.unescape(page("/list")))
    )
    assert rows[0]["question_id"] in first
    assert rows[1]["question_id"] in second


def test_an_address_of_an_earlier_version_leads_to_the_page(runs):
    client = TestClient(view_app(find_runs([runs / "eval/expert"])), base_url="http://localhost")
    for old in ("/walk/0/1?correct=right", "/trajectory/0/1?correct=right"):
        client.get("/list")
        reply = client.get(old, follow_redirects=False)
        assert reply.status_code == 307
        assert reply.headers["location"] == "/trajectory?run=expert&id=house/1%230&correct=right"
