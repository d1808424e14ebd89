"""Every command block of the pages is run, or its opening line says why it cannot be."""

import inspect
import re
import shlex
from importlib import import_module

import pytest
from typer.main import get_command

from clipscout.main import app
from tests.docs.blocks import DATA, EVERY_PAGE, PAGES, ROOT, Checkout, blocks_of

COMMANDS = {path.name: blocks_of(path) for path in PAGES}
GROUPS = (
    ("policies.md",),
    ("reproduction.md",),
    ("ask.md",),
    ("judge.md",),
    ("corpora.md",),
    ("quickstart.md", "view.md"),
)
"""Pages whose commands follow one another in one folder. Their blocks marked `data` are left to `REAL`."""
REAL = (
    ("corpora.md", "navigation.md", "traces.md", "datasets.md"), ("captions.md",), ("evaluation.md",),
)  # fmt: skip
"""The same for pages that read downloaded corpora, and videos."""
FOLDERS = "navigation|runtime|longvideo_r1|rewards|data_gen|trainer|evaluation|configs|launch|benchmarks|tests|examples"
OTHER_WORDS = r"\bmend|\brivals?\b|\bwalk(?:s|ed|ing|er|ers)?\b|\blast words\b|OutOfMoney"
"""Words that DESIGN replaces by others, so that one thing has one name."""


def play(pages, folder, slow, data=False):
    checkout = Checkout(folder)
    for page in pages:
        checkout.python.clear()
        for block in COMMANDS[page]:
            if block.runs and (slow or not block.slow) and (data or block.mark != "data"):
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
    play(pages, tmp_path, slow=True, data=True)


def test_every_page_with_commands_is_played():
    played = {page for pages in (*GROUPS, *REAL) for page in pages}
    assert {page for page, blocks in COMMANDS.items() if any(block.runs for block in blocks)} <= played


def test_a_block_that_is_not_run_says_why():
    marks = {(block.name, block.mark) for blocks in COMMANDS.values() for block in blocks if block.mark}
    assert all(mark in ("slow", "data") or re.fullmatch(r"(needs|serves) \w[\w' -]+", mark) for _, mark in marks), marks
    count = sum(len(blocks) for blocks in COMMANDS.values())
    run = sum(block.runs for blocks in COMMANDS.values() for block in blocks)
    assert run > count / 3 > 10


def test_what_a_block_needs_stands_in_it_for_readers():
    """The mark of an opening line is not shown on a rendered page."""
    for block in (each for blocks in COMMANDS.values() for each in blocks):
        if block.mark and block.mark != "data":
            said = "takes minutes" if block.slow else block.mark
            assert block.text.startswith(f"# {said}\n"), block.name


@pytest.mark.parametrize("page", list(COMMANDS))
def test_a_page_fetches_what_its_commands_read(page):
    fetched, text = set(), ""
    for block in COMMANDS[page]:
        fetched |= set(re.findall(r"clipscout download (\w+)", block.text))
        read = set(re.findall(r"\bdata/(goalstep|nextgqa|hirest)\b", block.text))
        assert read <= fetched, block.name
        text += block.text
    assert "../" not in text


def commands_of(text):
    """Each `clipscout` command of a block as words, without comments, shell words and what stands after a pipe."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"\$\([^)]*\)", "FILE", line)
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a part of a text that goes on
            continue
        if words[:1] == ["clipscout"]:
            yield words[1 : words.index("|")] if "|" in words else words[1:]


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_is_one_that_exists(path):
    """Also those that cannot be run here: the command is there, and has each option that it is given."""
    commands = get_command(app).commands
    for block in blocks_of(path):
        for name, *words in commands_of(block.text) if block.language == "bash" else ():
            if name in ("--help", "--version"):
                continue
            command = commands[name]
            if hasattr(command, "commands") and words and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help"}
            if not command.context_settings.get("ignore_unknown_options"):
                assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, (block.name, words)


def page_name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", EVERY_PAGE, ids=page_name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if not file.startswith("http"):
            page = (path.parent / file) if file else path
            assert page.resolve().is_relative_to(ROOT), target
            assert page.exists(), target
            if anchor:
                titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / file).resolve() for file in re.findall(r"\]\(([^)#]+\.md)\)", index.read_text("utf-8"))}
    assert set(EVERY_PAGE) - {index, ROOT / "README.md"} <= listed


def test_every_figure_is_on_a_page():
    shown = {
        (path.parent / file).resolve()
        for path in EVERY_PAGE
        for file in re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    }
    figures = {path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".svg")}
    assert figures == shown


@pytest.mark.parametrize("path", EVERY_PAGE, ids=page_name)
def test_pages_use_the_words_of_the_field(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(OTHER_WORDS, text, re.IGNORECASE)
    assert not re.findall(r"\blicence", text)


@pytest.mark.parametrize("path", EVERY_PAGE, ids=page_name)
def test_files_named_in_the_pages_exist(path):
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", path.read_text(encoding="utf-8"))
    assert [file for file in named if not (ROOT / file).exists()] == []


def readme_commands():
    """Each command of README's blocks as words, comments and environment assignments left out."""
    commands = []
    for block in blocks_of(ROOT / "README.md"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                commands.append(words)
    return commands


def test_the_commands_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) | set(re.findall(r"\$\(if \$\(([A-Z_]+)\)", makefile))
    commands = readme_commands()
    assert {words[0] for words in commands} == {"git", "make", "sbatch", "clipscout"}
    for words in commands:
        if words[0] == "make":
            assert words[1] in targets, words
            for name, value in (word.split("=", 1) for word in words[2:]):
                assert name in variables, words
                assert not value.startswith(("configs/", "launch/")) or (ROOT / value).is_file(), words
        if words[0] == "clipscout":
            command = get_command(app).commands[words[1]]
            known = {flag for parameter in command.params for flag in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, words
        if words[0] == "sbatch":
            assert (ROOT / words[-1]).is_file(), words


def test_options_named_in_the_pages_exist():
    for page, commands in {"ask.md": ("ask", "serve"), "view.md": ("view",)}.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        chosen = [get_command(app).commands[name] for name in commands]
        known = {flag for command in chosen for parameter in command.params for flag in parameter.opts}
        assert set(re.findall(r"`(--[a-z-]+)", prose)) <= known, page


def test_the_helpers_of_a_loader_are_called_as_their_page_says():
    text = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8").split("## Adding a loader")[1]
    named = re.findall(r"`(rows|actions|source_files|derive|corpus)\.(\w+)\(([^)`]*)\)`", text)
    assert len(named) > 20
    for module, name, parameters in named:
        function = getattr(import_module(f"data_gen.corpora.{module}"), name)
        assert list(inspect.signature(function).parameters) == re.findall(r"\w+", parameters), name
