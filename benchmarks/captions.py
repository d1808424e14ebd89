"""What caption trees cost before any model is asked: our one pass against opening the video again for every segment.

`python -m benchmarks.captions --minutes 10` makes an H.264 video (640x360, 25 fps, GOP 250; kept under /tmp) and
measures, each in a process of its own:

- `pass`: our pass, from file to all JPEGs (`data_gen.frames`);
- `reopen`: the way of the released LongVideo-R1 script, written anew: a pool of threads, each opening the video for one
  segment, reading its packets once to find the frames, decoding from the keyframe before, PIL resize, PIL JPEG. With 8
  workers and 2 decoder threads each: gentler than the released 32 and 16, so the ratio is not flattered;
- `decode`: one bare decode pass, every frame;
- `encode`: one JPEG encode of each needed image, scaling not counted;
- `run`: the whole stage against the stub in another process, HTTP and journal included, the stub excluded.

`--overlap` measures how near 64 requests in flight at 5 s come to the ideal.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import av
import numpy as np
from PIL import Image

from benchmarks.measure import in_process
from data_gen.frames import FrameRecipe, index_video, segment_frames
from data_gen.frames.jpeg import JpegMaker
from navigation import TimeGrid
from navigation.grid import sample_times
from runtime.ranked_run import run_ranks

CACHE = Path(tempfile.gettempdir()) / "clipscout-benchmarks"
WIDTH, HEIGHT, RATE, GROUP = 640, 360, 25, 250


def make_video(minutes: float, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A video with a moving texture, a moving block and a cut every 7 s; made once and kept.

    More than 10 minutes are the first 10 over and over, so that an hour is not encoded for an hour's measurement.
    """
    path = CACHE / f"{minutes:g}min-{width}x{height}.mp4"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if minutes > 10:
        return repeated(make_video(10, width, height), path, minutes / 10)
    chance = np.random.default_rng(0)
    coarse = (chance.normal(size=(height // 6, width * 4 // 6)) * 40 + 128).clip(0, 255).astype(np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((width * 4, height), Image.Resampling.BICUBIC)).astype(np.int16)
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = GROUP, 1
        for number in range(round(minutes * 60 * RATE)):
            scene = number // (RATE * 7)
            left, block = (number * 2 + scene * 517) % (width * 3), min(80, height // 3)
            luma = (texture[:, left : left + width] + (scene * 37) % 80 - 40).clip(16, 235).astype(np.uint8)
            row, column = number * 3 % (height - block), number * 5 % (width - block)
            luma[row : row + block, column : column + block] = scene * 53 % 200 + 30
            chroma = np.full((height // 4, width), 100 + scene * 29 % 60, dtype=np.uint8)
            planes = np.concatenate([luma, chroma, 255 - chroma])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    unfinished.rename(path)
    return path


def repeated(source: Path, path: Path, times: float) -> Path:
    """The packets of a video `times` times, one copy behind the other."""
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as target:
        stream = None
        for number in range(math.ceil(times)):
            with av.open(str(source)) as container:
                original = container.streams.video[0]
                stream = stream or target.add_stream_from_template(original)
                length = original.duration
                assert length is not None
                for packet in container.demux(original):
                    if packet.dts is None or packet.pts is None:
                        continue
                    if packet.pts + number * length < round(times * length):
                        packet.pts, packet.dts = (t + number * length for t in (packet.pts, packet.dts))
                        packet.stream = stream
                        target.mux(packet)
    unfinished.rename(path)
    return path


def one_pass(path: Path) -> dict:
    index = index_video(path)
    jpegs = size = 0
    for segment in segment_frames(index, TimeGrid.for_duration(index.duration)):
        jpegs += len(segment.jpegs)
        size += segment.byte_count
    return {"jpegs": jpegs, "jpeg_bytes": size}


def reopen(path: Path, workers: int = 8, decoder_threads: int = 2) -> dict:
    index = index_video(path)
    grid, recipe = TimeGrid.for_duration(index.duration), FrameRecipe()

    def one_segment(segment: tuple[int, ...]) -> int:
        times = np.array(sample_times(*grid.interval(segment), recipe.count(len(segment), grid.depth)))
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stamps = np.sort([packet.pts for packet in container.demux(stream) if packet.pts is not None])
            wanted = stamps[index.shown_at(times)]
            stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", decoder_threads
            container.seek(int(wanted[0]), stream=stream)
            found: dict[int, np.ndarray] = {}
            for frame in container.decode(stream):
                assert frame.pts is not None
                if frame.pts in wanted:
                    found[frame.pts] = frame.to_ndarray(format="rgb24")
                if frame.pts >= wanted[-1]:
                    break
        jpegs = []
        for stamp in wanted:
            image = Image.fromarray(found[int(stamp)])
            scale = min(1.0, recipe.side(len(segment), grid.depth) / max(image.size))
            buffer = BytesIO()
            image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "JPEG")
            jpegs.append(buffer.getvalue())
        return len(jpegs)

    with ThreadPoolExecutor(workers) as pool:
        return {"jpegs": sum(sum(pool.map(one_segment, grid.paths(level))) for level in range(1, grid.depth + 1))}


def decode(path: Path) -> dict:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return {"frames": sum(1 for _ in container.decode(video=0))}


def encode(path: Path) -> dict:
    """CPU seconds inside the JPEG encoder, and inside scaling, for each needed image once."""
    index = index_video(path)
    grid, recipe = TimeGrid.for_duration(index.duration), FrameRecipe()
    sides_at: dict[int, set[int]] = {}
    for segment in grid.paths():
        times = sample_times(*grid.interval(segment), recipe.count(len(segment), grid.depth))
        for position in index.shown_at(np.array(times)).tolist():
            sides_at.setdefault(int(index.pts[position]), set()).add(recipe.side(len(segment), grid.depth))
    makers = {side: JpegMaker(side, recipe.quality) for side in recipe.sides}
    scaling = encoding = 0.0
    images = 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            for side in sides_at.get(frame.pts, ()):
                begun = time.thread_time()
                image = makers[side].image(frame)
                middle = time.thread_time()
                makers[side].encode(image)
                encoding += time.thread_time() - middle
                scaling += middle - begun
                images += 1
    return {"images": images, "encode_cpu_s": round(encoding, 2), "scale_cpu_s": round(scaling, 2)}


def run(videos: Path, url: str, out: str) -> dict:
    from data_gen.captions import CaptionJob, CaptionSettings
    from runtime import EndpointSettings

    settings = CaptionSettings(model="stub")
    job = CaptionJob(videos, Path(out), settings, EndpointSettings(url, "stub", in_flight=64))
    report = run_ranks(job, quiet=True)
    return {"complete": report.complete, "seconds": round(report.seconds, 2), "usage": report.usage.to_dict()}


MEASURES = {"pass": one_pass, "reopen": reopen, "decode": decode, "encode": encode}


def measured(*arguments: object) -> dict:
    """One measure of this module in a child process."""
    return in_process("benchmarks.captions", "--measure", *arguments)


def least(tries: list[dict]) -> dict:
    """The run with the least CPU, which the machine's other work disturbed least, with the CPU of all beside it."""
    return {**min(tries, key=lambda each: each["cpu_s"]), "cpu_s_of_all": [each["cpu_s"] for each in tries]}


class Stub:
    """The stub endpoint in a process of its own, so that its cost is not counted as ours."""

    def __init__(self, latency: float) -> None:
        self.latency = latency

    def __enter__(self) -> "Stub":
        command = [
            sys.executable,
            "-m",
            "runtime.testing.caption_server",
            "--latency",
            str(self.latency),
            "--look",
            "0",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[2].rstrip(":")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def stats(self) -> dict:
        with urlopen(self.url.removesuffix("/v1") + "/stats") as reply:
            return json.load(reply)


def compare(minutes: float, repeats: int, without: list[str]) -> dict:
    """All measures on one generated video, `repeats` times; of each the run with the least CPU, and the ratios."""
    video = make_video(minutes)
    results: dict = {"minutes": minutes, "video_mb": round(video.stat().st_size / 1e6, 1)}
    tries: dict[str, list[dict]] = {name: [] for name in [*MEASURES, "run"] if name not in without}
    # In turn, so that a busy minute of the machine falls on all of them and not on one.
    for _ in range(repeats):
        for name, made in tries.items():
            if name == "run":
                with Stub(0.1) as stub, tempfile.TemporaryDirectory() as out:
                    made.append(measured("run", video, "--url", stub.url, "--out", out))
            else:
                made.append(measured(name, video))
            print(f"{name}: {made[-1]}", file=sys.stderr)
    results |= {name: least(made) for name, made in tries.items()}
    floor = results["decode"]["cpu_s"] + results["encode"]["encode_cpu_s"]
    results["pass_to_decode_plus_encode"] = round(results["pass"]["cpu_s"] / floor, 3)
    if "reopen" in results:
        results["pass_to_reopen"] = round(results["pass"]["cpu_s"] / results["reopen"]["cpu_s"], 3)
        results["run_to_reopen"] = round(results["run"]["cpu_s"] / results["reopen"]["cpu_s"], 3)
    return results


def overlap(videos: int, minutes: float, latency: float, width: int, height: int) -> dict:
    """Wall time of a run over `videos` copies against segments x latency / 64, at 64 in flight."""
    video = make_video(minutes, width, height)
    with Stub(latency) as stub, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "videos").mkdir()
        for number in range(videos):
            os.symlink(video, Path(folder) / "videos" / f"{number:02d}.mp4")
        result = measured("run", Path(folder) / "videos", "--url", stub.url, "--out", Path(folder) / "out")
        stats = stub.stats()
    ideal = stats["requests"] * latency / 64
    share = round(ideal / result["seconds"], 3)
    return {
        "videos": videos,
        "size": f"{width}x{height}",
        "latency_s": latency,
        **{name: stats[name] for name in ("requests", "most_in_flight")},
        "ideal_s": round(ideal, 2),
        "share_of_ideal": share,
        **result,
    }


def journal(records: int = 3000) -> dict:
    """Seconds to keep captions: our journal, and one sync to disk a caption, as a commit a request would."""
    from runtime import Journal

    value = {"caption": "word " * 80, "usage": {"requests": 1, "prompt_tokens": 6000}}
    result: dict[str, Any] = {"records": records}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for name, each in (("journal_s", False), ("sync_each_s", True)):
            begun = time.monotonic()
            with Journal(Path(folder) / name, {}) as kept:
                for number in range(records):
                    kept.append(str(number), value)
                    if each:
                        kept.sync()
            result[name] = round(time.monotonic() - begun, 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=[*MEASURES, "run"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of each measure; the one with the least CPU counts"
    )
    parser.add_argument("--without", nargs="*", default=[], choices=list(MEASURES), help="measures to leave out")
    parser.add_argument("--overlap", action="store_true", help="measure overlap instead")
    parser.add_argument("--videos", type=int, default=16, help="of the overlap measure")
    parser.add_argument("--latency", type=float, default=5.0, help="of the overlap measure")
    parser.add_argument(
        "--size", default="160x96", help="of the overlap measure's video: cheap, so that the endpoint limits"
    )
    parser.add_argument("--journal", action="store_true", help="measure the journal instead")
    parser.add_argument("--out", help="file for the JSON result")
    options = parser.parse_args()
    if options.measure:
        if options.measure == "run":
            result = run(options.video, options.url, options.out)
        else:
            result = MEASURES[options.measure](options.video)
        print(json.dumps(result))
        return
    if options.overlap:
        width, height = map(int, options.size.split("x"))
        minutes = 3.0 if options.size == parser.get_default("size") else options.minutes
        result = overlap(options.videos, minutes, options.latency, width, height)
    elif options.journal:
        result = journal()
    else:
        result = compare(options.minutes, options.repeats, options.without)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
