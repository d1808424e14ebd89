"""Comparisons: made from result files alone, paired, on equal terms or with a note, hostile names shown as text."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bootstrap import paired_difference
from evaluation.comparison import compare, front
from evaluation.comparison_page import markdown, page, write_comparison
from evaluation.result import read_result
from evaluation.run import evaluate_corpus
from navigation import InputError, write_jsonl


@pytest.fixture
def results(tmp_path, trees, questions):
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in questions))

    def play(policy, name="", folder=None, **options):
        out = tmp_path / (folder or policy)
        evaluate_corpus(tmp_path / "questions.jsonl", trees.folder, policy, out, name=name, **options)
        return read_result(out)

    return play


def test_every_figure_comes_from_the_results(results, questions):
    (comparison,) = compare([results("uniform"), results("exhaustive"), results("closed_book")])
    assert (comparison.questions, comparison.videos, comparison.chance) == (6, 3, 0.25)
    by_name = {entry.name: entry for entry in comparison.entries}
    # The first given comes first, the others in the usual order.
    assert list(by_name) == ["uniform", "exhaustive", "closed_book"]
    exhaustive = by_name["exhaustive"]
    assert exhaustive.costs["visits"].value == 27
    assert exhaustive.made.value == 3 * 30 / 6
    right = {name: np.mean([row.correct for row in entry.result.rows]) for name, entry in by_name.items()}
    for entry in by_name.values():
        assert entry.accuracy.value == pytest.approx(right[entry.name])
        if entry.name != "uniform":
            accuracy, visits = entry.against_first
            assert accuracy.value == pytest.approx(right[entry.name] - right["uniform"])
            assert visits.value == entry.costs["visits"].value - 4
        if entry.name != "closed_book":
            assert entry.above_closed_book.value == pytest.approx(right[entry.name] - right["closed_book"])


def test_the_files_are_the_same_bytes_each_time(results, tmp_path):
    read = [results("uniform"), results("exhaustive")]
    first, second = (write_comparison(read, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == [path.name for path in second]
    assert {"compare.md", "compare.html", "small_pareto.png", "small_depth.png", "small_grounding.png"} <= {
        path.name for path in first
    }
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_other_questions_are_refused_and_other_terms_are_said(results):
    first, fewer = results("uniform"), results("exhaustive", limit=3)
    with pytest.raises(InputError) as error:
        compare([first, fewer])
    assert error.value.field == "questions"
    from navigation import Limits

    (comparison,) = compare([first, results("random", limits=Limits(turns=9))])
    assert comparison.notes == ("random was not played on the terms of uniform: limits differ",)
    assert "limits differ" in markdown(comparison)
    (comparison,) = compare([first, *(results(name, limits=Limits(turns=9)) for name in ("random", "best_first"))])
    assert comparison.notes == ("random, best_first were not played on the terms of uniform: limits differ",)


def test_results_of_one_name_are_told_apart_by_folder(results):
    (comparison,) = compare([results("uniform", folder="one"), results("uniform", folder="two", visits=1)])
    assert [entry.name for entry in comparison.entries] == ["uniform", "uniform (two)"]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.handlers = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a | b\n| c `d` [e](f)", "{{ 7 * 7 }}"]
)
def test_hostile_names_are_text(hostile, results):
    comparisons = compare([results("uniform", name=hostile), results("random")])
    shown = Page(page(comparisons, hostile))
    assert not shown.tags & {"script", "img", "iframe"}
    assert not shown.handlers
    assert any(" ".join(hostile.split()) in " ".join(text.split()) for text in shown.texts)
    for line in markdown(comparisons[0]).splitlines():
        assert "<script" not in line.replace("\\<", "")
        if line.startswith("| ") and "random" not in line and "policy" not in line:
            assert "`d`" not in line


def test_several_benchmarks_give_a_table_each(results):
    comparisons = compare([results("uniform"), results("random", folder="other", benchmark="mlvu")])
    assert [comparison.benchmark for comparison in comparisons] == ["small", "mlvu"]
    assert "M-Avg" in markdown(comparisons[1])


def test_attempts_are_tabled(results):
    (comparison,) = compare([results("random", samples=3)])
    assert "pass@3" in markdown(comparison)


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points):
    chosen = front(points)
    for place, (cost, accuracy) in enumerate(points):
        beaten = any((other[0] <= cost and other[1] >= accuracy and other != (cost, accuracy)) for other in points)
        if place in chosen:
            assert not beaten
        else:
            assert beaten or (cost, accuracy) in {points[kept] for kept in chosen}
    costs = [points[place][0] for place in chosen]
    assert costs == sorted(costs)


def test_a_paired_difference_sees_what_two_intervals_cannot():
    draw = np.random.default_rng(1)
    first = (draw.random(400) < 0.5).astype(float)
    second = np.maximum(first, draw.random(400) < 0.05)
    value, low, high, p = paired_difference(first, second)
    assert value == pytest.approx(second.mean() - first.mean())
    assert 0 < low <= value <= high
    assert p < 0.01
    assert paired_difference(first, first) == (0.0, 0.0, 0.0, 1.0)


def test_clipscout_compare_prints_and_writes(results, tmp_path, capsys):
    from clipscout.evaluate import compare_results

    results("uniform"), results("exhaustive")
    compare_results([tmp_path / "uniform", tmp_path / "exhaustive/result.jsonl"], tmp_path / "out", 0, "Two")
    printed = capsys.readouterr().out
    assert "exhaustive" in printed
    assert (tmp_path / "out/compare.html").is_file()
    assert json.loads((tmp_path / "uniform/summary.json").read_text())["scores"]["n"] == 6
