"""`clipscout download`: the public annotation files of corpora, each from a pinned commit of its own repository."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from clipscout.options import told_errors
from navigation import InputError, write_json

GITHUB = "https://raw.githubusercontent.com"
RECORD = "downloads.json"
CHUNK = 1 << 16
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository at one commit, which never changes.

    Args:
        repository: `owner/name` on GitHub.
        commit: All 40 digits.
        path: In the repository.
        sha256: Of its bytes; empty where nobody has written it down yet: then the first download's is kept.
    """

    repository: str
    commit: str
    path: str
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def url(self, mirror: str = GITHUB) -> str:
        return f"{mirror.rstrip('/')}/{self.repository}/{self.commit}/{self.path}"


@dataclass(frozen=True, slots=True)
class Download:
    """What a corpus consists of, and under which license its repository gives it."""

    license: str
    files: tuple[RemoteFile, ...]


_GOALSTEP = ("facebookresearch/ego4d-goalstep", "b4fe5768f1595b80a3367186f4c5316b979d04fb")  # pragma: allowlist secret
_NEXTGQA = ("doc-doc/NExT-GQA", "8331fcce57bd1a58b04c4331c217bf29f061fd97")  # pragma: allowlist secret
_HIREST = ("j-min/HiREST", "e8d6e2fb91a0880ca1be2004922bf1cae4c99e00")  # pragma: allowlist secret
_HIREST_VAL = "70d32c5fcdffe66cbf3c732dd274f03378da2082f50c9cec7e67705f529ecb4d"  # pragma: allowlist secret
_CAPTIONS = ("wxh1996/VideoAgent", "119be7c3e440502034099fa56344f16901684c1c")  # pragma: allowlist secret
DOWNLOADS = {
    "goalstep": Download("MIT", (RemoteFile(*_GOALSTEP, "data/goalstep_valid.json"),)),
    "nextgqa": Download(
        "MIT; the captions, of VideoAgent, MIT as well",
        (
            RemoteFile(*_NEXTGQA, "datasets/nextgqa/val.csv"),
            RemoteFile(*_NEXTGQA, "datasets/nextgqa/gsub_val.json"),
            RemoteFile(*_CAPTIONS, "nextqa_allcaps_1fps.zip"),
        ),
    ),
    "hirest": Download("MIT", (RemoteFile(*_HIREST, "data/splits/all_data_val.json", _HIREST_VAL),)),
}


def fetch(corpus: str, out: Path, mirror: str = GITHUB, said: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Downloads what is missing of a corpus; a file that was cut off goes on where it ended.

    Args:
        corpus: A name of `DOWNLOADS`.
        out: Folder of the files.
        mirror: What stands before `owner/name/commit/path`.
        said: Gets a line for each file.

    Returns:
        The files, those that were there included.

    Raises:
        InputError: an unknown corpus, a file with another hash, or a server that does not give it.
    """
    if corpus not in DOWNLOADS:
        from data_gen.corpora.source_files import WANTED

        other = f"; {corpus} is downloaded by hand: {WANTED[corpus]}" if corpus in WANTED else ""
        raise InputError("download", "corpus", corpus, f"give one of {', '.join(DOWNLOADS)}{other}")
    out.mkdir(parents=True, exist_ok=True)
    return [_fetch_file(file, out, mirror, said) for file in DOWNLOADS[corpus].files]


def _fetch_file(file: RemoteFile, out: Path, mirror: str, said: Callable[[str], None]) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    path, known = out / file.name, _recorded(out)
    wanted = file.sha256 or known.get(file.name, {}).get("sha256", "")
    if path.is_file():
        found = _sha256(path)
        if wanted and found != wanted:
            hint = f"the file at {file.url(mirror)} has {wanted}: remove this one, or give another --out"
            raise InputError(path, "sha256", found, hint)
        said(f"{path}: there already")
    else:
        downloader = _resuming(out / f".{file.name}.part")
        try:
            pooch.retrieve(
                file.url(mirror), f"sha256:{wanted}" if wanted else None, file.name, out, downloader=downloader
            )
        except ValueError as error:  # of pooch: the bytes are not those that were pinned; it has removed them
            raise InputError(file.url(mirror), "sha256", str(error).split(". ")[0], _refused(file)) from None
        except OSError as error:  # requests' errors are OSErrors
            hint = f"run the same command again to go on, or put the file into {out} by hand"
            raise InputError(file.url(mirror), "download", f"{type(error).__name__}: {error}", hint) from None
        found = _sha256(path)
        sure = "as pinned" if file.sha256 else "not known before: kept, and checked from now on"
        said(f"{path}: {path.stat().st_size:,} bytes, sha256 {found[:12]}… {sure}")
    if file.name not in known:
        write_json(out / RECORD, known | {file.name: {"url": file.url(), "sha256": found}})
    return path


def _refused(file: RemoteFile) -> str:
    return f"{file.name} is not the file of commit {file.commit[:12]}: it is not kept; check the network and the mirror"


def _resuming(part: Path) -> Callable[[str, str, Any], None]:
    """A downloader for pooch that keeps what it got, and asks only for the rest the next time."""
    import requests

    def download(url: str, output_file: str, _: Any) -> None:
        have = part.stat().st_size if part.is_file() else 0
        # Compressed by the server, a range would count other bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=SECONDS) as reply:
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                reply.close()
                return download(url, output_file, _)
            reply.raise_for_status()
            goes_on = reply.status_code == requests.codes.partial_content
            rest = int(reply.headers.get("Content-Length", -1))
            with open(part, "ab" if goes_on else "wb") as file:
                for chunk in reply.iter_content(CHUNK):
                    file.write(chunk)
                got = file.tell() - (have if goes_on else 0)
            if rest >= 0 and got != rest:
                raise OSError(f"{got:,} of {rest:,} bytes came")
        os.replace(part, output_file)

    return download


def _recorded(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    corpus: Annotated[str, typer.Argument(help=f"{', '.join(DOWNLOADS)}.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the files; default: data/CORPUS.")] = None,
    mirror: Annotated[str, typer.Option(help="Serves owner/name/commit/path.")] = GITHUB,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched.")] = False,
) -> None:
    """Fetch the annotation files of a corpus from its repository, at a pinned commit; run again, it goes on."""
    with told_errors():
        folder = out or Path("data") / corpus
        found = DOWNLOADS.get(corpus)
        for file in found.files if found else ():
            typer.echo(f"{file.url(mirror)} -> {folder / file.name}")
        if found:
            typer.echo(f"license, as its repository states: {found.license}")
        if not dry_run or not found:
            fetch(corpus, folder, mirror, typer.echo)
            typer.echo(f"next: clipscout traces --corpus {corpus} --data {folder} --out runs/{corpus}")
