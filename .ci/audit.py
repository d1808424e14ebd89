#!/usr/bin/env python3
"""Known vulnerabilities of the locked packages (pip-audit) and secrets in the tree (detect-secrets).

    python .ci/audit.py [--only packages] [--lock requirements.lock] [--folder .audit]

The tools live in an environment of their own, so that they are no part of what they look at.

Exit codes: 0 nothing found; 1 a vulnerability that .ci/audit-ignore.yaml does not excuse, an outdated excuse, or a
secret; 3 no database of vulnerabilities answered, or the tools are not there and cannot be fetched: nothing is known,
which is not the same as nothing found.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IGNORED = ROOT / ".ci" / "audit-ignore.yaml"
BASELINE = ROOT / ".ci" / "secrets-baseline.json"
_ENTRY = re.compile(r'- \{id: (\S+), package: (\S+), why: "([^"]+)", until: (\d{4}-\d{2}-\d{2})\}')


def tools(folder: Path) -> Path:
    """The bin folder of the tools' environment, made on the first call."""
    requirements = ROOT / ".ci" / "audit-requirements.txt"
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text() != requirements.read_text():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return folder / "bin"


def ignored(today: datetime.date) -> tuple[set[str], list[str]]:
    """Excused ids, and excuses that no longer stand."""
    excused, stale = set(), []
    for line in IGNORED.read_text(encoding="utf-8").splitlines():
        if not line.startswith("- "):
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            stale.append(f"not readable: {line}")
        elif datetime.date.fromisoformat(entry[4]) < today:
            stale.append(f"{entry[1]} was excused until {entry[4]}: look at it again")
        else:
            excused.add(entry[1])
    return excused, stale


def vulnerabilities(bin_folder: Path, lock: Path) -> int:
    """Runs pip-audit over a lock file and says what came of it; returns an exit code."""
    command = [
        bin_folder / "pip-audit", "--requirement", lock, "--no-deps", "--disable-pip", "--format", "json",
        "--progress-spinner", "off",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{lock.name}: pip-audit ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        return 3
    return judge(lock.name, found, *ignored(datetime.date.today()))


def judge(name: str, found: list[dict], excused: set[str], stale: list[str]) -> int:
    """Prints what pip-audit found; returns an exit code."""
    skipped = [each for each in found if "skip_reason" in each]
    audited = [each for each in found if "skip_reason" not in each]
    print(f"{name}: {len(audited)} packages audited, {len(skipped)} not: unknown to the database")
    bad = 0
    for each in audited:
        for hole in each["vulns"]:
            names = {hole["id"], *hole.get("aliases", ())}
            known = names & excused
            bad += not known
            fixed = ", ".join(hole.get("fix_versions", ())) or "no version"
            print(f"  {each['name']} {each['version']}: {hole['id']}, fixed in {fixed}{' (excused)' if known else ''}")
    for each in stale:
        print(f"  {IGNORED.name}: {each}")
    if bad or stale:
        return 1
    if not audited:
        print("  no package could be looked up: the database of vulnerabilities was not reached, nothing is known")
        return 3
    return 0


def secrets(bin_folder: Path) -> int:
    """Runs detect-secrets over the files that git knows, against the reviewed baseline; returns an exit code."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in files.split("\0") if name and not name.endswith(".lock") and (ROOT / name).is_file()]
    command = [bin_folder / "detect-secrets-hook", "--baseline", BASELINE, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(f"secrets: {len(names)} files, {'none' if done.returncode == 0 else 'found'}")
    if done.returncode:
        print(done.stdout.strip())
    return int(done.returncode != 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", type=Path, action="append", help="lock file; default: both")
    parser.add_argument("--only", choices=["packages", "secrets"], help="one of the two; default: both")
    parser.add_argument("--folder", type=Path, default=ROOT / ".audit", help="environment of the tools")
    options = parser.parse_args()
    try:
        bin_folder = tools(options.folder)
    except subprocess.CalledProcessError as error:
        print(f"the tools of the audit could not be installed: {error}. Nothing is known, and no secret was looked for")
        return 3
    locks = options.lock or [ROOT / "requirements.lock", ROOT / "requirements-gpu.lock"]
    codes = [vulnerabilities(bin_folder, lock) for lock in locks] if options.only != "secrets" else []
    if options.only != "packages":
        codes.append(secrets(bin_folder))
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
