"""The report: everything in one file, nothing from outside, hostile texts shown as text, the figures right."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from evaluation.episode_view import group_episodes
from evaluation.evaluate import evaluate
from evaluation.metrics import summarise
from evaluation.policies import make_policy
from evaluation.report import PNG_NAME, Part, interval, number, percent, tiles, write_report
from evaluation.run import write_summary
from navigation import CaptionTree, EnvironmentFactory, TreeStore

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></textarea><iframe src=//x>",
    "{{ 7 * 7 }}{% include 'x' %}{# #}",
    "$\\frac{1}{",
    "]]><!-- -->",
    "&lt;b&gt;",
)
ROWS = [
    {"step": step, "loss": 1 / step, "reward": step / 40, "visits": 5.0, "rewards/grounding/mean": 0.5}
    for step in range(1, 40)
]


class Page(HTMLParser):
    """Collects elements and attributes as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def tags(self):
        return {tag for tag, _ in self.elements}


async def written(
    tmp_path, trees, questions, mix, names=("retrieval", "uniform"), labels=("grpo", "sft"), facts=None, title="t",
    more=(), curves=None,
):  # fmt: skip
    factory = EnvironmentFactory(trees)
    policies, episodes = {}, []
    for label, name in zip(labels, names, strict=True):
        played = await evaluate(make_policy(name, trees, questions), questions, factory, mix=mix, out=tmp_path / name)
        policies[label] = summarise(played, questions)
        episodes += [(label, trajectory) for trajectory in played[:2]]
    summary = write_summary(tmp_path / "summary.json", policies, 12.0, 0)
    out = tmp_path / "page" / "report.html"
    by_id = {question.id: question for question in questions}
    parts = [Part(each, summary["policies"], 0.25) for each in (title, *more)]
    curves = {"sft": ROWS[:3], "grpo": ROWS} if curves is None else curves
    groups = group_episodes(episodes, by_id, trees)
    write_report(out, parts, curves, groups, facts or {"World": "small"}, title)
    return out, summary


def ordinary_tags(page):
    return page.tags() - {"script", "iframe", "img", "object", "embed", "link", "form", "base"} == page.tags()


async def test_one_file_without_a_request_to_anywhere(tmp_path, trees, questions, mix):
    out, _ = await written(tmp_path, trees, questions, mix)
    page = Page(out.read_text())
    assert ordinary_tags(page)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in out.read_text()
    assert not re.search(r"url\((?!#)", out.read_text())


async def test_every_policy_figure_and_episode_is_there(tmp_path, trees, questions, mix):
    out, summary = await written(tmp_path, trees, questions, mix, more=["again"])
    page = Page(out.read_text())
    for scores in summary["policies"].values():
        assert percent(scores["accuracy"]) in page.text
        assert number(scores["visits"]) in page.text
    assert "with index" in page.text
    assert number(summary["policies"]["grpo"]["visit_cost_with_index"]) in page.text
    assert [a["class"] for tag, a in page.elements if tag == "article"] == ["question"] * 2
    assert sum(a.get("class") == "card episode" for _, a in page.elements) == 4
    assert sum(a.get("class") == "clue" for tag, a in page.elements if tag == "rect") == 4
    # Each badge twice, for a wide and for a narrow page.
    assert sum("badge" in (a.get("class") or "") for _, a in page.elements) == 2 * (2 * 4 + 2 * 4)
    assert "Reward part: grounding" in page.text
    assert (out.parent / PNG_NAME.format("_2")).read_bytes().startswith(b"\x89PNG")


async def test_ids_in_the_page_are_unique_and_references_meet_them(tmp_path, trees, questions, mix):
    out, _ = await written(tmp_path, trees, questions, mix)
    text = out.read_text()
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert {(a.get("xlink:href") or a.get("href") or "#")[1:] for _, a in page.elements} - {""} <= set(ids)


async def test_every_drawing_is_sound_xml_in_page_colours(tmp_path, trees, questions, mix):
    out, _ = await written(tmp_path, trees, questions, mix)
    drawings = re.findall(r"<svg.*?</svg>", out.read_text(), re.DOTALL)
    assert len(drawings) >= 8
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "#000000" not in drawing
    assert "var(--c1)" in "".join(drawings)


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_texts_are_shown_and_not_run(hostile, tmp_path, make_tree, questions, mix):
    store = TreeStore(tmp_path / "hostile")
    tree = make_tree("v0")
    captions = {path: f"{hostile} {text}" for path, text in tree.captions.items()}
    video_id = f"v {hostile}"
    store.save(CaptionTree(video_id, tree.grid, captions))
    asked = [
        dataclasses.replace(
            question, id=f"{hostile}{index}", video_id=video_id, question=f"{hostile} {question.question}",
            kind=hostile + str(index),
            options=tuple(f"{hostile} {option}" for option in question.options),
        )
        for index, question in enumerate(questions[:2])
    ]  # fmt: skip
    label = f"p {hostile}"
    out, _ = await written(tmp_path, store, asked, mix, ("uniform",), (label,), {hostile: hostile}, hostile, curves={})
    page = Page(out.read_text())
    assert ordinary_tags(page)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count(hostile) > 12
    assert "49" not in page.text.replace("0:49", "")


async def test_nothing_but_a_summary_is_needed(tmp_path, trees):
    summary = write_summary(tmp_path / "summary.json", {"grpo": {"accuracy": 0.5, "visits": 2.0}}, 1.0, 0)
    write_report(tmp_path / "report.html", [Part("", summary["policies"])], {}, [], {})
    page = Page((tmp_path / "report.html").read_text())
    assert "50 %" in page.text
    assert "Episodes" not in page.text


async def test_two_reports_of_one_result_are_equal(tmp_path, trees, questions, mix):
    first, _ = await written(tmp_path, trees, questions, mix)
    before = first.read_bytes()
    again, _ = await written(tmp_path, trees, questions, mix)
    assert again.read_bytes() == before


def test_headline_figures_come_from_the_summary():
    policies = {
        "grpo": {"accuracy": 0.9, "accuracy_ci": [0.85, 0.95], "visits": 3.0, "visits_ci": [2.5, 3.5]},
        "sft": {"accuracy": 0.88, "visits": 6.0},
        "exhaustive": {"accuracy": 1.0, "visits": 60.0},
    }
    assert [value for value, *_ in tiles(policies)] == ["90 %", "3", "50 %", "95 %"]
    policies["sft"]["visits"] = 2.0
    assert [value for value, *_ in tiles(policies)] == ["90 %", "3", "95 %"]
    assert tiles({}) == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (0.256, "0.26"), (12.34, "12.3"), (141.23, "141"), (12345.6, "12 346")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_intervals_are_written_with_their_unit():
    assert interval([0.7, 0.805], as_percent=True) == "70–80.5 %"
    assert interval([1.5, 2.0]) == "1.5–2"
    assert interval(None) == interval([None, None]) == "–"
