"""How well, how fast and at which price a search finds what a question is about: `make bench-search`.

Recall: whether one of the first 1, 3 or 5 results names a leaf of the clue, by BM25, by an embedding model and by both;
for a corpus's own questions and for `paraphrased` ones, in their video and among all videos. Speed: making, opening and
asking the index of generated captions. Curves: policies that search and others at several ceilings on their visits,
drawn as accuracy against cost; and from which price of a search on searching costs more than not searching.
"""

import argparse
import multiprocessing
import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.evaluation import CORPORA
from benchmarks.measure import cpu_seconds
from clipscout.search import FILE, LibraryIndex
from evaluation.drawing import STYLE, label_ends
from evaluation.run import corpus_folder, evaluate_corpus
from evaluation.style import MUTED, colour_of, marker_of, replace_block
from navigation import (
    DEFAULT_TOOLS,
    SEARCH,
    CaptionTree,
    Limits,
    Question,
    Search,
    SearchSettings,
    TimeGrid,
    TreeStore,
    read_questions,
    read_trajectories,
    write_json,
)
from navigation.question import held_out
from navigation.search import SearchIndex, distinct, load_encoder
from navigation.words import terms
from rewards.settings import PRICES

DEPTHS = (1, 3, 5)
PRICES_TRIED = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
POLICIES = ("uniform", "best_first", "retrieval", "search_read", "hierarchy_search")
VISITS = (1, 2, 4, 8, 16)
"""Ceilings on visits: a curve has a point for each."""
QUESTIONS, HELD_OUT = 200, 0.2
"""Asked are questions of the videos that this share holds out: all for recall, so many for the curves."""
_QUOTED = re.compile(r"(?<=“).*?(?=”)")
_WORD = re.compile(r"[^\W\d_]+")
_SYNONYMS = """
    add=insert adjust=tweak arrange=position bag=sack bake=roast board=slab boil=simmer bottle=flask bowl=basin
    bread=loaf cabinet=closet check=inspect chicken=poultry chop=mince clean=tidy clear=empty collect=gather
    container=vessel cook=prepare cooker=hob counter=worktop countertop=worktop cup=mug cupboard=closet cut=carve
    dice=cube discard=scrap dispose=discard dough=pastry drain=strain drink=sip fill=load floor=ground food=meal
    fridge=icebox fry=sear garnish=decorate gas=flame get=fetch hand=palm heat=warm ingredient=foodstuff item=object
    kitchen=cookhouse knead=massage knife=blade lid=cap make=produce meat=flesh mix=combine mixture=blend move=shift
    oil=fat onion=shallot open=unseal organize=order oven=furnace pack=package pan=skillet peel=skin phone=mobile
    pick=grab piece=chunk place=put plate=dish pot=saucepan potato=spud powder=dust prepare=ready put=lay rack=stand
    reduce=lower refrigerate=chill refrigerator=icebox remove=withdraw reposition=shift rinse=douse sauce=dressing
    season=flavour seasoning=flavouring serve=present set=lay sink=washbasin slice=carve sort=order soup=broth
    spice=flavouring spoon=ladle stir=whisk store=stow stove=hob table=desk temperature=warmth top=lid towel=cloth
    trash=garbage tray=platter turn=rotate unused=leftover utensil=cutlery vegetable=greens wash=scrub waste=rubbish
    water=liquid wrap=envelop
"""
"""Goal-Step's most frequent verbs and things, each with another word that means about the same."""


@cache
def synonyms() -> dict[str, str]:
    """Other words by the stem of what they stand for."""
    pairs = (pair.split("=") for pair in _SYNONYMS.split())
    return {terms(word)[0]: other for word, other in pairs if terms(word)}


def paraphrased(question: Question) -> Question:
    """The question with every word of its quotations that `_SYNONYMS` has, in any form, put in other words."""

    def other(word: re.Match[str]) -> str:
        stems = terms(word[0])
        return synonyms().get(stems[0], word[0]) if stems else word[0]

    text = _QUOTED.sub(lambda quoted: _WORD.sub(other, quoted[0]), question.question)
    return replace(question, question=text)


class ByMeaning(SearchIndex):
    """Ranks by the encoder alone."""

    def _scores(self, query: str) -> Any:
        return super()._scores("")


def rankings(embedder: str, trees: Path) -> dict[str, Callable[[CaptionTree], SearchIndex]]:
    """Ways of ranking, by name; indices are kept beside the trees."""
    words = Search(folder=trees)
    found: dict[str, Callable[[CaptionTree], SearchIndex]] = {"BM25": words.index}
    if embedder:
        encode, both = load_encoder(embedder), Search(SearchSettings(embedder=embedder), folder=trees)
        found["embeddings"] = lambda tree: ByMeaning(both.index(tree).passages, encode, both.index(tree).arrays)
        found["both, fused"] = both.index
    return found


def recall(
    questions: Sequence[Question], trees: TreeStore, index: Callable[[CaptionTree], SearchIndex]
) -> dict[str, float]:
    """Share of questions with a clue leaf among the first results in their video, by how many are looked at."""
    hits = dict.fromkeys(DEPTHS, 0)
    for question in questions:
        tree = trees[question.video_id]
        held = index(tree)
        ranked = ((question.video_id, held.passages[place]) for place in held.rank(question.question[:1000]))
        _count(hits, [passage.path in clue(question, tree) for _, passage in distinct(ranked, max(DEPTHS))])
    return _shares(hits, len(questions))


def library_recall(questions: Sequence[Question], folder: Path) -> dict[str, float]:
    """The same among the texts of all videos: the right video and a leaf of the clue in it."""
    trees, hits = TreeStore(folder / "trees"), dict.fromkeys(DEPTHS, 0)
    with tempfile.TemporaryDirectory() as kept, LibraryIndex(Path(kept) / FILE) as library:
        library.update(folder / "trees")
        for question in questions:
            found = library.find(question.question[:1000], max(DEPTHS), ("captions", "speech", "screen"))
            leaves = clue(question, trees[question.video_id])
            _count(hits, [video == question.video_id and passage.path in leaves for video, passage in found])
    return _shares(hits, len(questions))


def clue(question: Question, tree: CaptionTree) -> set[tuple[int, ...]]:
    """Leaves that share time with the question's clue."""
    return {path for begin, end in question.clue_intervals for path in tree.grid.overlapping(begin, end)}


def _count(hits: dict[int, int], right: Sequence[bool]) -> None:
    for depth in DEPTHS:
        hits[depth] += any(right[:depth])


def _shares(hits: Mapping[int, int], count: int) -> dict[str, float]:
    return {f"recall@{depth}": round(hit / count, 3) for depth, hit in hits.items()} | {"n": count}


def grown(captions: int, seed: int = 0) -> CaptionTree:
    """A whole tree of ten parts a level with at least so many captions of 12 words, of a vocabulary of 5,000."""
    grid = next(
        grid for depth in range(1, 9) if (grid := TimeGrid(16.0 * 10**depth, 10, depth)).segment_count >= captions
    )
    draw = random.Random(seed)
    words = [f"{first}{second}{number}" for first in "bdfgk" for second in "aeiou" for number in range(200)]
    return CaptionTree(f"grown-{captions}", grid, {path: " ".join(draw.choices(words, k=12)) for path in grid.paths()})


def speed(captions: int) -> dict[str, float]:
    """Making, opening and asking the index of a tree, in CPU seconds and MiB, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1, None, (), 1) as pool:
        tree = grown(captions)
        TreeStore(folder).save(tree)
        made, opened = (pool.apply(_measured, (folder, tree.video_id)) for _ in range(2))
        size = sum(path.stat().st_size for path in Path(folder).glob("*.search"))
    return {
        "captions": len(tree.captions),
        "make_cpu_s": made["cpu_s"],
        "open_cpu_s": opened["cpu_s"],
        "make_mib": made["mib"],
        "open_mib": opened["mib"],
        "file_mib": round(size / 2**20, 1),
        "query_cpu_ms": opened["query_cpu_ms"],
    }


def _measured(folder: str, video_id: str, queries: int = 50) -> dict[str, float]:
    tree, settings = TreeStore(folder)[video_id], SearchSettings(sources=("captions",))
    Search(settings).reply(grown(50), "warm up")
    search = Search(settings, folder=Path(folder))
    before, begun = own_memory(), cpu_seconds()
    search.index(tree)
    cpu, memory = cpu_seconds() - begun, own_memory() - before
    texts = [" ".join(text.split()[:4]) for text in list(tree.captions.values())[-queries:]]
    begun = cpu_seconds()
    for text in texts:
        search.reply(tree, text)
    each = (cpu_seconds() - begun) / len(texts)
    return {"cpu_s": round(cpu, 3), "mib": round(memory, 1), "query_cpu_ms": round(1000 * each, 3)}


def library_speed(videos: int, queries: int = 20) -> dict[str, float]:
    """Reading so many videos of 110 captions into a library's index, and asking it, in CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        trees, file = TreeStore(Path(folder) / "trees"), Path(folder) / FILE
        for number in range(videos):
            trees.save(replace(grown(100, number), video_id=f"video-{number}"))
        texts = [" ".join(text.split()[:4]) for text in list(grown(100).captions.values())[:queries]]
        times = []
        with LibraryIndex(file) as library:
            for work in (
                lambda: library.update(trees.folder),
                lambda: library.update(trees.folder),
                lambda: [library.find(text, 10, ("captions",)) for text in texts],
            ):
                begun = cpu_seconds()
                work()
                times.append(cpu_seconds() - begun)
        read, again, asked = times
        return {
            "videos": videos,
            "texts": 110 * videos,
            "read_cpu_s": round(read, 2),
            "again_cpu_s": round(again, 3),
            "query_cpu_ms": round(1000 * asked / queries, 2),
            "file_mib": round(file.stat().st_size / 2**20, 1),
        }


def own_memory() -> float:
    """MiB that this process has for itself and no other could share."""
    pages = dict(line.split()[:2] for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(pages["Private_Dirty:"]) / 1024


def play(corpus: str, data: Path, out: Path) -> list[dict[str, Any]]:
    """Every policy at every ceiling on a corpus; what is finished is not played again.

    Returns:
        A row a run: policy, ceiling, accuracy, costs with the index counted in three ways, searches a question, and
        the visit units of a question by what a search would cost.
    """
    folder, rows = out / corpus, []
    corpus_folder(corpus, data / CORPORA[corpus], folder)
    for policy in POLICIES:
        tools = (*DEFAULT_TOOLS, SEARCH) if policy.endswith("search") or policy.startswith("search") else DEFAULT_TOOLS
        for visits in VISITS:
            run = folder / "results" / f"{policy}-{visits}"
            where = (folder / "questions.jsonl", folder / "trees", policy, run)
            limits = Limits(turns=2 * max(VISITS))
            chosen: dict[str, Any] = {"limit": QUESTIONS, "held_out_share": HELD_OUT, "limits": limits, "tools": tools}
            summary = evaluate_corpus(*where, visits=visits, concurrency=64, **chosen)["policies"][policy]
            rows.append({"policy": policy, "ceiling": visits, **_costs(summary), **price_sweep(run)})
    return rows


def _costs(summary: Mapping[str, Any]) -> dict[str, Any]:
    own = summary["visit_cost"]
    return {
        "right": summary["accuracy"],
        "interval": summary["accuracy_ci"],
        "own": own,
        "shared": summary.get("visit_cost_with_shared_index", own),
        "each": summary.get("visit_cost_with_index", own),
        "questions": summary["n"],
    }


def price_sweep(run: Path) -> dict[str, Any]:
    """Mean visit units of a finished evaluation by what a search would cost; accuracy does not depend on it."""
    played = list(read_trajectories(run / "trajectories.jsonl"))
    visits = sum(PRICES[visit.tool] for each in played for visit in each.visits) / len(played)
    searches = sum(lookup.tool == SEARCH for each in played for lookup in each.lookups) / len(played)
    units = {str(price): round(visits + price * searches, 3) for price in PRICES_TRIED}
    return {"searches": round(searches, 3), "visits": round(visits, 3), "units": units}


COUNTED = {
    "own": "no index counted",
    "shared": "index shared by a video's questions",
    "each": "index counted for each question",
}
TITLES = {"goalstep": "Goal-Step", "nextgqa": "NExT-GQA"}
CHANCE = {"goalstep": 0.25, "nextgqa": 0.2}


def draw(curves: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Right answers against cost, a row a corpus, a column a way of counting the index."""
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(14, 4.4 * len(curves)), layout="constrained")
        grid = figure.subplots(len(curves), len(COUNTED), sharey="row", squeeze=False)
        named = []
        for line, (corpus, rows) in zip(grid, curves.items(), strict=True):
            for axes, (cost, counted) in zip(line, COUNTED.items(), strict=True):
                ends = []
                for policy in POLICIES:
                    run = sorted((row for row in rows if row["policy"] == policy), key=lambda row: row["ceiling"])
                    xs, ys = [row[cost] for row in run], [row["right"] for row in run]
                    colour = colour_of(policy)
                    axes.plot(xs, ys, color=colour, marker=marker_of(policy), markersize=5.5, linewidth=1.8)
                    ends.append((ys[-1], policy, colour))
                named.append((axes, ends))
                _axes(axes, corpus, rows, cost)
                axes.set_title(f"{TITLES[corpus]}, {counted}")
            line[0].set_ylabel("right answers")
        # Names stand right of the axes: invisible ones make the layout leave room for them first.
        for axes, _ in named:
            room = {"xycoords": "axes fraction", "textcoords": "offset points", "alpha": 0}
            axes.annotate(max(POLICIES, key=len), (1, 0.5), (6, 0), **room)
        for axes, ends in named:
            label_ends(figure, axes, ends)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})


def _axes(axes: Any, corpus: str, rows: Sequence[Mapping[str, Any]], cost: str) -> None:
    """Scales, the line of guessing, and how far a point may be off."""
    chance, highest = CHANCE[corpus], max(row["right"] for row in rows)
    axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    half = max((row["interval"][1] - row["interval"][0]) / 2 for row in rows)
    note = {"textcoords": "offset points", "color": MUTED, "fontsize": 9}
    axes.annotate("chance", (0.9, chance), (0, 3), **note)
    axes.annotate(f"95 % intervals: at most ±{half:.2f}", (0.9, chance), (0, -4), va="top", **note)
    axes.set_xscale("log")
    right = 1.25 * max(row[cost] for row in rows)
    ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128, 256) if tick <= right]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.85, right)
    axes.set_ylim(chance - 0.05, highest + 0.06)
    axes.set_xlabel("visit units a question (log scale)")


def recall_table(report: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows by questions and ranking, in Markdown."""
    lines = ["| questions | ranking | first | first 3 | first 5 |", "|---|---|---:|---:|---:|"]
    for asked, rankings in report.items():
        for name, row in rankings.items():
            shares = " | ".join(f"{row[f'recall@{depth}']:.3f}" for depth in DEPTHS)
            lines.append(f"| {asked} | {name} | {shares} |")
    return "\n".join(lines)


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("captions", "make", "open again", "memory, made", "memory, opened", "file", "a search")
    lines = ["| " + " | ".join(head) + " |", "|---:" * len(head) + "|"]
    for row in rows:
        lines.append(
            "| {captions:,} | {make_cpu_s:.2f} s | {open_cpu_s:.2f} s | {make_mib:.1f} MiB | {open_mib:.1f} MiB | "
            "{file_mib:.1f} MiB | {query_cpu_ms:.2f} ms |".format(**row)
        )
    return "\n".join(lines)


LIBRARY = """{videos:,} generated videos of 110 captions: {read_cpu_s:.1f} CPU-seconds to read them all once,
{again_cpu_s:.3f} to see that none has changed, {query_cpu_ms:.1f} ms a search; {file_mib:.0f} MiB."""


def curve_table(rows: Sequence[Mapping[str, Any]], ceilings: Sequence[int] = (4, 8)) -> str:
    """Runs of some ceilings: how often right, and the visit units of a question by the price of a search."""
    shown = PRICES_TRIED[2:]
    head = ["policy", "at most", "right", "visits", "searches", *(f"search at {price:g}" for price in shown)]
    head += ["index shared", "index each time"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in (row for ceiling in ceilings for row in rows if row["ceiling"] == ceiling):
        low, high = row["interval"]
        cells = [f"`{row['policy']}`", row["ceiling"], f"{row['right']:.3f} ({low:.2f}-{high:.2f})"]
        cells += [f"{row['visits']:.2f}", f"{row['searches']:.2f}"]
        cells += [f"{row['units'][str(price)]:.2f}" for price in shown]
        cells += [f"{row['shared']:.1f}", f"{row['each']:.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--parts", nargs="+", choices=("recall", "speed", "curves"), default=["recall", "speed", "curves"]
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=["goalstep", "nextgqa"], help="of the curves")
    parser.add_argument("--limit", type=int, help="questions for recall; default: all of the held-out videos")
    parser.add_argument("--embedder", default="", help="a sentence-transformers model, for recall")
    parser.add_argument("--captions", nargs="+", type=int, default=[1_000, 100_000], help="sizes, for speed")
    parser.add_argument("--videos", type=int, default=1_000, help="of a library, for speed")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-search"))
    parser.add_argument("--docs", type=Path, help="docs folder, where search.md is brought up to date")
    options = parser.parse_args()
    texts: dict[str, str] = {}
    if "recall" in options.parts:
        folder = corpus_folder("goalstep", options.data / CORPORA["goalstep"], options.out / "goalstep")
        report = measure_recall(folder, options.embedder, options.limit)
        write_json(options.out / "recall.json", report)
        texts["search-recall"] = recall_table(report)
    if "speed" in options.parts:
        rows = [speed(count) for count in options.captions]
        library = library_speed(options.videos)
        write_json(options.out / "speed.json", {"videos": rows, "library": library})
        texts["search-speed"] = speed_table(rows)
        texts["search-library"] = LIBRARY.format(**library)
    if "curves" in options.parts:
        curves = {corpus: play(corpus, options.data, options.out) for corpus in options.corpora}
        write_json(options.out / "curves.json", curves)
        draw(curves, (options.docs / "images" if options.docs else options.out) / "search_curves.png")
        tables = "\n\n".join(f"{TITLES[corpus]}\n\n{curve_table(rows)}" for corpus, rows in curves.items())
        picture = "![right answers against cost, with search and without](images/search_curves.png)"
        texts["search-curves"] = f"{picture}\n\n{tables}"
    for name, text in texts.items():
        print(f"\n{text}")
        if options.docs is not None:
            replace_block(options.docs / "search.md", name, text)


def measure_recall(folder: Path, embedder: str, limit: int | None) -> dict[str, dict[str, Any]]:
    """By questions, as they stand and in other words, and ranking; last among the texts of all videos."""
    asked = [
        question
        for question in read_questions(folder / "questions.jsonl")
        if question.clue_intervals and held_out(question.video_id, HELD_OUT)
    ][:limit]
    trees, report = TreeStore(folder / "trees"), {}
    ways = rankings(embedder, trees.folder)
    for name, questions in (("as they stand", asked), ("paraphrased", [paraphrased(each) for each in asked])):
        report[name] = {ranking: recall(questions, trees, index) for ranking, index in ways.items()}
        report[name]["all videos, FTS5"] = library_recall(questions, folder)
    return report


if __name__ == "__main__":
    main()
