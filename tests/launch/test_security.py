"""What the code must not do with what it did not write, read off the syntax trees of all packages."""

import ast
import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("navigation", "runtime", "longvideo_r1", "rewards", "data_gen", "trainer", "evaluation", "clipscout")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.hub.load", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "pickle.load", "pickle.loads", "dill.load", "dill.loads", "marshal.loads",
    "joblib.load", "shutil.unpack_archive", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "tarfile"}
METHODS = {"extractall"}
ARGUMENTS = {
    "trust_remote_code": lambda value: value is not False,
    "weights_only": lambda value: value is not True,
    "allow_pickle": lambda value: value is not False,
    "use_safetensors": lambda value: value is not True,
    "shell": lambda value: value is not False,
    "verify": lambda value: value is False,
}
"""Keyword arguments, and which constants are refused."""


def name_of(node):
    """`a.b.c` of a called expression, or an empty text."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def findings(source, where="source"):
    """Every forbidden thing in a source text, as `where:line what`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.split(".")[0] in MODULES:
                    yield f"{where}:{node.lineno} imports {name}"
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        if name in CALLS:
            yield f"{where}:{node.lineno} calls {name}"
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            yield f"{where}:{node.lineno} calls .{node.func.attr}"
        for keyword in node.keywords:
            refused = ARGUMENTS.get(keyword.arg)
            fixed = isinstance(keyword.value, ast.Constant)
            if refused and (refused(keyword.value.value) if fixed else keyword.arg != "verify"):
                yield f"{where}:{node.lineno} passes {keyword.arg}={ast.unparse(keyword.value)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_evaluated_unpickled_or_extracted(package):
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / package)]
    assert sources
    assert [found for path in sources for found in findings(path.read_text(), path.relative_to(ROOT))] == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)", "import pickle", "from dill import loads", "torch.load(path)", "m = f(x, trust_remote_code=True)",
        "f(x, trust_remote_code=flag)", "np.load(p, allow_pickle=True)", "subprocess.run(c, shell=True)",
        "yaml.load(text)", "archive.extractall(folder)", "torch.load(p, weights_only=False)",
        "f(use_safetensors=None)", "requests.get(u, verify=False)", "os.system(c)",
    ],
)  # fmt: skip
def test_each_of_them_would_be_found(line):
    assert list(findings(line))


def test_harmless_neighbours_are_not():
    text = (
        "model.eval()\nast.literal_eval(t)\nyaml.safe_load(t)\nf(trust_remote_code=False, use_safetensors=True)\n"
        "subprocess.run([a])\nzipfile.ZipFile(p).read(n)\nre.compile(p)\n"
    )
    assert list(findings(text)) == []


def test_pages_escape_what_models_wrote():
    """Every Jinja environment of the packages is built with autoescape on."""
    built = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and name_of(node.func).split(".")[-1] == "Environment":
                options = {each.arg: ast.unparse(each.value) for each in node.keywords}
                built.append((str(path.relative_to(ROOT)), options.get("autoescape")))
    assert built
    assert [each for each in built if each[1] in (None, "False")] == []


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2"], "description": ""}
SKIPPED = {"name": "torch", "skip_reason": "not found"}
SOUND = {"name": "rich", "version": "1", "vulns": []}
HOLLOW = {"name": "rich", "version": "1", "vulns": [HOLE]}


@pytest.mark.parametrize(
    ("found", "excused", "stale", "code"),
    [
        ([SOUND, SKIPPED], set(), [], 0),
        ([HOLLOW], set(), [], 1),
        ([HOLLOW], {"CVE-2026-1"}, [], 0),
        ([SOUND], set(), ["x was excused until 2020"], 1),
        ([SKIPPED], set(), [], 3),
        ([], set(), [], 3),
    ],
)
def test_an_audit_that_looked_at_nothing_is_not_green(audit, found, excused, stale, code, capsys):
    assert audit.judge("lock", found, excused, stale) == code
    assert ("nothing is known" in capsys.readouterr().out) == (code == 3)


def test_without_the_tools_nothing_is_known(audit, monkeypatch, capsys):
    def fail(folder):
        raise audit.subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(audit, "tools", fail)
    monkeypatch.setattr("sys.argv", ["audit.py"])
    assert audit.main() == 3
    assert "Nothing is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("secrets", "packages", "code", "tested"),
    [(0, 0, 0, True), (1, 0, 1, False), (3, 3, 0, True), (0, 1, 0, True)],
)
def test_a_secret_ends_the_summary_and_packages_are_warned_of(tmp_path, secrets, packages, code, tested):
    for name, text in {
        ".ci/run": (ROOT / ".ci" / "run").read_text(), "tests/install_system_packages.sh": "exit 0",
        "bin/make": "echo made $1",
        "bin/python3": f'[[ "$1 $2 $3" == ".ci/audit.py --only secrets" ]] && exit {secrets}; exit {packages}',
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run([tmp_path / ".ci" / "run"], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("warning: the audit of packages" in done.stderr) == (packages != 0)
    # The tests come last: the end of a run is their summary.
    assert (done.stdout.splitlines()[-1:] == ["made test"]) == tested


def test_excuses_run_out(audit, tmp_path, monkeypatch):
    import datetime

    path = tmp_path / "ignore.yaml"
    path.write_text(
        '- {id: CVE-1, package: a, why: "never called", until: 2030-01-01}\n'
        '- {id: CVE-2, package: b, why: "never called", until: 2020-01-01}\n- {id: CVE-3}\n'
    )
    monkeypatch.setattr(audit, "IGNORED", path)
    excused, stale = audit.ignored(datetime.date(2026, 1, 1))
    assert excused == {"CVE-1"}
    assert len(stale) == 2


def test_the_reviewed_baseline_holds_no_secret_of_the_packages():
    baseline = json.loads((ROOT / ".ci" / "secrets-baseline.json").read_text())
    assert [name for name in baseline["results"] if not name.startswith("tests/")] == []
