"""`clipscout download` against a local server: hashes, resuming, what is said."""

import hashlib
import json
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from clipscout import download as module
from clipscout.download import DOWNLOADS, Download, RemoteFile, fetch
from clipscout.main import app
from data_gen.corpora.source_files import WANTED
from navigation import InputError
from runtime.testing.scripted_server import Raw, ScriptedServer

CONTENT = b"".join(b"%d " % number for number in range(20_000))
PINNED = RemoteFile("owner/name", "a" * 40, "data/goalstep_valid.json", hashlib.sha256(CONTENT).hexdigest())
OPEN = RemoteFile("owner/name", "b" * 40, "data/goalstep_valid.json")


class Files:
    """Serves `content` under any path; `cut` ends a reply after that many bytes; asked ranges are kept."""

    def __init__(self):
        self.content, self.cut, self.ranges, self.paths, self.knows_ranges = CONTENT, None, [], [], True

    async def __call__(self, request):
        asked = request.headers.get("range", "")
        self.ranges.append(asked)
        self.paths.append(request.path)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.knows_ranges else 0
        if begin >= len(self.content):
            return Raw(416)
        body = self.content[begin:]
        return Raw(206 if begin else 200, body[: self.cut], [f"Content-Length: {len(body)}"])


@pytest.fixture
def server():
    files = Files()
    with ScriptedServer(files) as running:
        files.url = running.url
        yield files


@pytest.fixture
def one(monkeypatch):
    """Makes goalstep one file of the local server."""

    @contextmanager
    def of(file):
        with monkeypatch.context() as patch:
            patch.setitem(module.DOWNLOADS, "goalstep", Download("MIT", (file,)))
            yield

    return of


def test_the_license_and_the_pinned_address_are_shown(server, one, tmp_path):
    with one(PINNED):
        result = CliRunner().invoke(app, ["download", "goalstep", "--out", str(tmp_path), "--mirror", server.url])
    assert result.exit_code == 0, result.output
    assert "MIT" in result.stdout
    assert f"{server.url}/owner/name/{'a' * 40}/data/goalstep_valid.json" in result.stdout
    assert server.paths == [f"/owner/name/{'a' * 40}/data/goalstep_valid.json"]
    assert (tmp_path / "goalstep_valid.json").read_bytes() == CONTENT


def test_a_file_with_another_hash_is_refused_and_not_kept(server, one, tmp_path):
    server.content = CONTENT.replace(b"7", b"8")
    with one(PINNED):
        result = CliRunner().invoke(app, ["download", "goalstep", "--out", str(tmp_path), "--mirror", server.url])
        assert result.exit_code == 2
        with pytest.raises(InputError) as error:
            fetch("goalstep", tmp_path, server.url)
    assert error.value.field == "sha256"
    assert not (tmp_path / "goalstep_valid.json").exists()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_what_was_cut_off_goes_on(server, one, tmp_path, knows_ranges):
    server.cut, server.knows_ranges = 70_000, knows_ranges
    with one(PINNED):
        with pytest.raises(InputError) as error:
            fetch("goalstep", tmp_path, server.url)
        assert error.value.field == "download"
        assert not (tmp_path / "goalstep_valid.json").exists()
        server.cut = None
        (path,) = fetch("goalstep", tmp_path, server.url)
    assert server.ranges[0] == ""
    assert server.ranges[1].startswith("bytes=")
    assert path.read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def test_a_part_that_is_the_whole_file_is_asked_for_again(server, one, tmp_path):
    (tmp_path / ".goalstep_valid.json.part").write_bytes(CONTENT)
    with one(PINNED):
        (path,) = fetch("goalstep", tmp_path, server.url)
    assert path.read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(server, one, tmp_path):
    with one(PINNED):
        for _ in range(2):
            fetch("goalstep", tmp_path, server.url)
        assert len(server.paths) == 1
        (tmp_path / "goalstep_valid.json").write_text("{}")
        with pytest.raises(InputError) as error:
            fetch("goalstep", tmp_path, server.url)
    assert error.value.field == "sha256"
    assert (tmp_path / "goalstep_valid.json").read_text() == "{}"


def test_a_hash_that_nobody_wrote_down_is_kept_and_held(server, one, tmp_path):
    with one(OPEN):
        said = []
        fetch("goalstep", tmp_path, server.url, said.append)
        assert "not known before" in said[0]
        record = json.loads((tmp_path / "downloads.json").read_text())
        assert record["goalstep_valid.json"]["sha256"] == PINNED.sha256
        (tmp_path / "goalstep_valid.json").unlink()
        server.content = b"{}"
        with pytest.raises(InputError) as error:
            fetch("goalstep", tmp_path, server.url)
    assert error.value.field == "sha256"


def test_nobody_there_and_no_such_corpus_are_one_line(tmp_path):
    for corpus, mirror, field in (("hirest", "http://127.0.0.1:1", "download"), ("lvbench", "", "corpus")):
        with pytest.raises(InputError) as error:
            fetch(corpus, tmp_path, mirror)
        assert error.value.field == field
        assert "\n" not in str(error.value)


def test_every_download_is_pinned_and_is_what_its_loader_wants():
    for corpus, each in DOWNLOADS.items():
        assert each.license
        names = [file.name for file in each.files]
        assert len(names) == len(WANTED[corpus])
        assert all(name in wanted for name, wanted in zip(names, WANTED[corpus], strict=True))
        assert all(len(file.commit) == 40 and len(file.sha256) in (0, 64) for file in each.files)


def test_the_pinned_hash_is_that_of_the_real_file():
    from pathlib import Path

    real = Path(__file__).resolve().parents[3] / "shared" / "data" / "hirest" / "all_data_val.json"
    if not real.is_file():
        pytest.skip("needs ../shared/data")
    (file,) = DOWNLOADS["hirest"].files
    assert hashlib.sha256(real.read_bytes()).hexdigest() == file.sha256
