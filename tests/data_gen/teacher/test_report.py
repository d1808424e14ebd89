import asyncio
import re
from html.parser import HTMLParser

import pytest

from benchmarks.teacher_server import Manners
from data_gen.teacher import read_trajectories
from evaluation.trajectory_report import write_report
from navigation import read_jsonl, write_jsonl
from runtime.ranked_run import run_ranks


class Page(HTMLParser):
    """Tags, ids and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]

    def handle_data(self, data):
        self.words += data


async def test_the_page_tells_the_run_and_shows_hostile_text_as_text(world):
    async with world.served(Manners(wrong=0.6, nonsense=0.1, telling=1.0)) as (_, url):
        await asyncio.to_thread(run_ranks, world.job(url, malformed=9), quiet=True)
    rows = [row for _, row in read_jsonl(world.folder / "trajectories.jsonl")]
    hostile = "<script>alert(1)</script>\x1b[31m"
    for row in rows:
        row["messages"][2]["reasoning_content"] = hostile
    write_jsonl(world.folder / "trajectories.jsonl", rows)
    told = write_report(world.folder, world.folder / "trajectories.html", shown=5)
    page = Page((world.folder / "trajectories.html").read_text())
    assert "script" not in page.tags
    assert page.words.count("<script>alert(1)</script>") == 5
    assert not page.links
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("details") == 5
    assert page.tags.count("svg") >= 6
    trajectories = list(read_trajectories(world.folder / "trajectories.jsonl"))
    assert told["trajectories"] == len(trajectories)
    assert told["hinted_share"] == pytest.approx(
        sum(trajectory.teacher["hints"] > 0 for trajectory in trajectories) / len(trajectories)
    )
    assert told["usd"] == pytest.approx(sum(trajectory.teacher["usd"] for trajectory in trajectories))
    assert told["kept"] + sum(told["dropped"].values()) == told["trajectories"]
    assert told["dropped"]["leak_hint"]
    for reason in told["dropped"]:
        assert re.search(rf"{reason}\s+\d", page.words)


async def test_failed_episodes_are_told_with_their_reason(world):
    async with world.served() as (_, url):
        await asyncio.to_thread(run_ranks, world.job(url), quiet=True)
    write_jsonl(world.folder / "failed.jsonl", [{"id": "a#0", "reason": "HTTP 400: too <long>"}])
    told = write_report(world.folder, world.folder / "trajectories.html")
    assert told["failed"] == 1
    assert "HTTP 400: too <long>" in Page((world.folder / "trajectories.html").read_text()).words
