import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clipscout.captions import captions
from navigation import TreeStore
from runtime.testing.scripted_server import Raw, ScriptedServer

REAL = Path(__file__).resolve().parents[3] / "../shared/data/videos"
SMALL = ["--model", "stub", "--frames", "2,3,4", "--sides", "64,48,32", "--minimum-width", "2", "--quiet"]

app = typer.Typer()
app.command()(captions)


async def command(videos, out, *arguments):
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["--videos", str(videos), "--out", str(out), *map(str, arguments)]
    )


async def test_exit_codes_and_last_words(stubs, clips, tmp_path):
    server, address = await stubs()
    out = tmp_path / "out"
    missing = await command(clips, out, "--url", address, *SMALL, "--check")
    assert missing.exit_code == 1
    assert "0 complete, 2 incomplete" in missing.output
    done = await command(clips, out, "--url", address, *SMALL)
    assert done.exit_code == 0
    assert "2 complete, 0 incomplete, 0 refused; 28 captions" in done.output
    assert (await command(clips, out, "--url", address, *SMALL, "--check")).exit_code == 0
    changed = await command(clips, out, "--url", address, *SMALL, "--quality", "90")
    assert changed.exit_code == 2
    assert "frames.quality: 75 before, 90 now" in changed.output
    assert server.stats["requests"] == 28


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--model", "m"], "http://localhost:8000/v1"), (["--url", "http://h"], "give the name of the model"),
        (["--url", "http://h", "--model", "m", "--frames", "many"], "whole numbers"),
        (["--url", "http://h", "--model", "m", "--executor", "cloud"], "local, slurm, ray"),
        (["--url", "http://h", "--model", "m", "--max-usd", "1"], "add a price"),
        (["--captioner", "annotations"], "JSONL file"),
        (["--captioner", "annotations", "--annotations", "/nowhere.jsonl"], "No such file"),
    ],
)  # fmt: skip
async def test_wrong_commands_say_what_would_be_right(clips, tmp_path, arguments, hint):
    result = await command(clips, tmp_path / "out", *arguments, "--quiet")
    assert result.exit_code == 2
    assert hint in " ".join(result.output.split())


async def test_a_folder_that_cannot_be_written_is_said(clips, tmp_path):
    (tmp_path / "file").touch()
    result = await command(clips, tmp_path / "file" / "out", "--url", "http://127.0.0.1:9", *SMALL)
    assert result.exit_code == 2
    assert "Not a directory" in result.output


async def test_failures_are_listed_and_the_code_is_one(stubs, clips, tmp_path):
    _, address = await stubs(faults=1.0, kinds=["empty"])
    result = await command(clips, tmp_path / "out", "--url", address, *SMALL, "--attempts", "1")
    assert result.exit_code == 1
    assert "one [1] failed: empty caption" in result.output
    assert list((tmp_path / "out").glob("*.json")) == []


async def test_what_a_server_says_cannot_steer_the_terminal(clips, tmp_path):
    async def steer(request):
        return Raw(400, {"error": {"message": "bad \x1b[2J\u202e request"}})

    async with ScriptedServer(steer) as server:
        result = await command(clips, tmp_path / "out", "--url", server.url, *SMALL)
    assert result.exit_code == 1
    assert "failed: HTTP 400: bad �[2J� request" in result.output
    assert result.output.replace("\n", "").isprintable()


@pytest.mark.skipif(not REAL.is_dir(), reason="no shared videos here")
async def test_the_real_clips_go_through(stubs, tmp_path):
    server, address = await stubs(look=2)
    out = tmp_path / "out"
    result = await command(REAL, out, "--url", address, "--model", "stub", "--frames", "4,6,8", "--quiet")
    assert result.exit_code == 0, result.output
    trees = {tree.video_id: tree for tree in TreeStore(out)}
    assert sorted(trees) == ["bottle-detection", "one-by-one-person-detection"]
    assert trees["bottle-detection"].grid.duration == pytest.approx(39.85, abs=0.05)
    assert trees["one-by-one-person-detection"].grid.duration == pytest.approx(139.4, abs=0.05)
    assert all(tree.missing() == [] and tree.grid.segment_count == 84 for tree in trees.values())
    assert server.stats["images"] == 2 * (4 * 8 + 16 * 6 + 64 * 4)
    usage = json.loads((out / ".run" / "report.json").read_text())["usage"]
    assert usage["usd"] > 0
