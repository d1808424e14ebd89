"""Every command block of the pages is run, or its opening line says why it cannot be."""

import re

import pytest

from navigation import TreeStore
from tests.docs.blocks import PAGES, ROOT, Block, Checkout, blocks_of

COMMANDS = {path.name: blocks_of(path) for path in PAGES}
GROUPS = (("your_policy.md",), ("reproduction.md",), ("ask.md",), ("your_corpus.md",), ("quickstart.md", "view.md"))
"""Pages whose commands follow one another in one folder."""
REAL = (
    ("corpora.md", "navigation.md", "traces.md", "datasets.md"), ("captions.md",), ("evaluation.md", "baselines.md"),
)  # fmt: skip
"""The same for pages that read `../shared/data`: real corpora and videos."""
DATA = ROOT.parent / "shared" / "data"


def play(pages, folder, slow):
    checkout = Checkout(folder)
    for page in pages:
        checkout.python.clear()
        for block in COMMANDS[page]:
            if block.runs and (slow or not block.slow):
                said = checkout.run(block)
                if block.expected is not None:
                    assert said == block.expected, block.name


@pytest.mark.parametrize("pages", GROUPS, ids="+".join)
def test_commands_run_one_after_another(pages, tmp_path):
    play(pages, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages", [pages for pages in GROUPS if any(block.slow for page in pages for block in COMMANDS[page])], ids="+".join
)
def test_commands_run_with_the_slow_ones(pages, tmp_path):
    play(pages, tmp_path, slow=True)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the corpora of ../shared/data")
@pytest.mark.parametrize("pages", REAL, ids="+".join)
def test_commands_run_on_real_corpora(pages, tmp_path):
    play(pages, tmp_path, slow=True)


def test_every_page_with_commands_is_played():
    played = {page for pages in (*GROUPS, *REAL) for page in pages}
    assert {page for page, blocks in COMMANDS.items() if any(block.runs for block in blocks)} <= played


def test_a_block_that_is_not_run_says_why():
    marks = {(block.name, block.mark) for blocks in COMMANDS.values() for block in blocks if block.mark}
    assert all(mark == "slow" or re.fullmatch(r"(needs|serves) \w[\w' -]+", mark) for _, mark in marks), marks
    count = sum(len(blocks) for blocks in COMMANDS.values())
    run = sum(block.runs for blocks in COMMANDS.values() for block in blocks)
    assert run > count / 3 > 10


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if not file.startswith("http"):
            page = (path.parent / file) if file else path
            assert page.exists(), target
            if anchor:
                titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\((\w+\.md)\)", index))
    assert {path.name for path in PAGES} - {"README.md"} <= listed


def test_options_named_in_the_pages_exist():
    from typer.main import get_command

    from clipscout.main import app

    for page in ("ask.md", "serve.md", "view.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        command = get_command(app).commands[page.removesuffix(".md")]
        known = {flag for parameter in command.params for flag in parameter.opts}
        assert set(re.findall(r"`(--[a-z-]+)", prose)) <= known, page


def test_the_example_corpus_is_short_and_sound(tmp_path):
    example = ROOT / "examples" / "your_corpus.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
    (tmp_path / "notes.csv").write_text(
        "video,start,end,text\n" + "".join(f"v/{n % 2},{10 * n},{10 * n + 10},note {n}\n" for n in range(12))
    )
    checkout = Checkout(tmp_path)
    text = f"python examples/your_corpus.py {tmp_path}/notes.csv {tmp_path}/out"
    checkout.run(Block("example", 1, "bash", "", text))
    from navigation import read_questions

    questions = list(read_questions(tmp_path / "out" / "questions.jsonl"))
    assert len(questions) == 10
    trees = TreeStore(tmp_path / "out" / "trees")
    for question in questions:
        tree = trees[question.video_id]
        assert tree.missing() == []
        assert question.duration == tree.grid.duration
        right = question.options["ABCD".index(question.answer)]
        (line,) = [line for line in tree.lines if line.text == right]
        assert any(begin < line.end and end > line.start for begin, end in question.clue_intervals)
