"""What the published recipe takes on 8, 64 and 512 GPUs: from single figures to the tables of docs/scaling.md.

    python -m benchmarks.scaling

Every figure that goes in stands in `FIGURES` with where it comes from: `measured` (by a benchmark of this project),
`published` (by LongVideo-R1, a model or a GPU vendor) or `assumed`. Change an assumption and run it again.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

SIZES = (8, 64, 512)
PER_NODE = 8


@dataclass(frozen=True, slots=True)
class Figure:
    value: float
    unit: str
    origin: str
    why: str


FIGURES = {
    "videos": Figure(1219, "videos", "published", "CG-Bench's, which LongVideo-R1 captioned"),
    "video_seconds": Figure(1624, "s", "published", "mean length of CG-Bench's videos"),
    "longest_video": Figure(4800, "s", "assumed", "the longest of them; it bounds a share"),
    "segments": Figure(155, "captions a video", "measured", "5 + 25 + 125: `TimeGrid.for_duration` at the mean length"),
    "image_tokens": Figure(
        1_040_000, "tokens a video", "measured", "frames and sizes of the recipe, 28 px patches"
    ),
    "caption_text_tokens": Figure(200, "tokens a caption", "measured", "16,268 text prompt tokens for 84 requests"),
    "caption_tokens": Figure(150, "tokens a caption", "assumed", "110 words"),
    "decode_cpu": Figure(
        10.2, "CPU-s a video", "measured", "22.5 CPU-s for 3,600 s of 640×360; about 9 times that for 1080p"
    ),
    "vision_parameters": Figure(33e9, "parameters", "assumed", "Qwen3-VL-32B, the better published captioner"),
    "vision_gpus": Figure(2, "GPUs a replica", "assumed", "64 GB of weights on two 80 GB GPUs"),
    "prefill_mfu": Figure(0.4, "of the peak", "assumed", "long prompts, batched"),
    "decode_rate_32b": Figure(700, "tokens/s a GPU", "assumed", "a 32B model at 64 and more sequences a replica"),
    "decode_rate_8b": Figure(2500, "tokens/s a GPU", "assumed", "Qwen3-8B at about 24 sequences a GPU"),
    "peak": Figure(989e12, "operations/s", "published", "H100, bf16, dense"),
    "trajectories": Figure(33_000, "walks", "published", "LongVideo-R1's set"),
    "walk_tokens": Figure(6_500, "tokens a walk", "assumed", "2,000 of prompt, 10.5 calls of 420"),
    "generated_tokens": Figure(2_200, "tokens a walk", "assumed", "11.5 turns of about 190"),
    "teacher_waste": Figure(1.3, "walks asked for a kept one", "assumed", "hinted, wrong and dropped walks"),
    "qa_share": Figure(1.0, "video_qa a walk", "assumed", ""),
    "qa_tokens": Figure(9_200, "tokens", "measured", "16 frames at 1,024 px, 32 px patches"),
    "client_rate": Figure(
        600, "walks/min a process", "measured", "released code, 128 in flight; ours is no slower"
    ),
    "policy_parameters": Figure(8.19e9, "parameters", "published", "Qwen3-8B"),
    "epochs_sft": Figure(3, "epochs", "published", ""),
    "row_tokens": Figure(24_576, "tokens a row", "published", "packed rows of the SFT recipe"),
    "rows_a_step": Figure(64, "rows a step", "assumed", "8 GPUs × 8 accumulation steps"),
    "train_mfu": Figure(0.4, "of the peak", "assumed", "33–39 % are published for 8B models on H100s, 45 % is our aim"),
    "network_loss": Figure(0.9, "of that", "assumed", "ZeRO-3 between nodes instead of inside one"),
    "rl_questions": Figure(8_000, "questions", "assumed", "what a filter by pass rate leaves of CG-Bench's 12 K"),
    "epochs_rl": Figure(2, "epochs", "published", ""),
    "questions_a_step": Figure(12, "questions a step", "published", ""),
    "rollouts": Figure(16, "rollouts a question", "published", ""),
    "longest_turns": Figure(15, "turns", "published", "of the longest rollout of a step"),
    "turn_seconds": Figure(3.0, "s a turn", "assumed", "250 tokens at 10 ms, then the tool"),
    "qa_seconds": Figure(4.0, "s a video_qa", "assumed", ""),
    "sync_seconds": Figure(3.0, "s a step", "assumed", "weights to the generating side"),
}  # fmt: skip


def figure(name: str) -> float:
    return FIGURES[name].value


def caption_hours(gpus: int) -> tuple[float, str]:
    """Captions: work divides by replica until a replica's share is about one video."""
    prompt = figure("image_tokens") + figure("segments") * figure("caption_text_tokens")
    prefill = 2 * figure("vision_parameters") * prompt / (figure("peak") * figure("prefill_mfu"))
    decode = figure("segments") * figure("caption_tokens") / figure("decode_rate_32b")
    video = prefill + decode  # GPU-seconds
    replicas = gpus / figure("vision_gpus")
    longest = video * figure("longest_video") / figure("video_seconds") / figure("vision_gpus")
    even = figure("videos") * video / gpus
    share = ceil(figure("videos") / replicas) * video / figure("vision_gpus")
    seconds = max(even, min(share, even + longest))
    return seconds / 3600, f"{video:.0f} GPU-s a video; {figure('videos') / replicas:.1f} videos a replica"


def trace_hours(gpus: int) -> tuple[float, str]:
    """A 32B teacher's walks, `video_qa` by the vision model beside it."""
    walks = figure("trajectories") * figure("teacher_waste")
    rate = figure("peak") * figure("prefill_mfu")
    prefill = 2 * figure("vision_parameters") * figure("walk_tokens") / rate
    looks = figure("qa_share") * 2 * figure("vision_parameters") * figure("qa_tokens") / rate
    walk = prefill + looks + figure("generated_tokens") / figure("decode_rate_32b")
    tail = figure("longest_turns") * 2 * (figure("turn_seconds") + figure("qa_seconds"))
    return (
        walks * walk / gpus + tail
    ) / 3600, f"{walk:.1f} GPU-s a walk; the last walk alone takes {tail / 60:.1f} min"


def sft_hours(gpus: int) -> tuple[float, str]:
    """SFT: a step's rows divide among GPUs until each has one."""
    tokens = figure("trajectories") * figure("walk_tokens") * figure("epochs_sft")
    steps = tokens / (figure("rows_a_step") * figure("row_tokens"))
    busy = min(gpus, figure("rows_a_step"))
    mfu = figure("train_mfu") * (figure("network_loss") if gpus > PER_NODE else 1)
    seconds = train_operations(tokens) / (busy * figure("peak") * mfu)
    return seconds / 3600, f"{steps:.0f} steps; {busy:.0f} GPUs have a row to train on"


def rl_steps() -> float:
    return figure("rl_questions") * figure("epochs_rl") / figure("questions_a_step")


def train_operations(tokens: float) -> float:
    """Forward and backward, and attention inside walks; what checkpointing computes again is not counted."""
    return 6 * (figure("policy_parameters") + 36 * 4096 * figure("walk_tokens") / 2) * tokens


def rl_step(gpus: int, overlapped: bool) -> tuple[float, float, float]:
    """Seconds of a GRPO step, of its generating and of its training part."""
    episodes = figure("questions_a_step") * figure("rollouts")
    # One GPU in four serves the vision model; where generating overlaps, the rest is halved between the two.
    own = gpus * 3 / 4
    sides = (own / 2, own / 2) if overlapped else (own, own)
    longest = figure("longest_turns") * figure("turn_seconds") + figure("qa_seconds")
    even = episodes * figure("generated_tokens") / figure("decode_rate_8b") / sides[0]
    # A GPU of the trainer has at least one episode; the reference's forward pass adds a third.
    busy = min(sides[1], episodes)
    mfu = figure("train_mfu") * (figure("network_loss") if gpus > PER_NODE else 1)
    train = train_operations(episodes * figure("walk_tokens")) * 4 / 3 / (busy * figure("peak") * mfu)
    if overlapped:
        # Rollouts of the next steps fill the gaps that the longest one leaves, as far as staleness allows (two steps).
        generate = max(even, longest / 3)
        return max(generate, train) + figure("sync_seconds"), generate, train
    generate = even + longest
    return generate + train + figure("sync_seconds"), generate, train


def rl_hours(gpus: int, overlapped: bool) -> tuple[float, str]:
    step, generate, train = rl_step(gpus, overlapped)
    note = f"{rl_steps():.0f} steps of {step:.0f} s (generate {generate:.0f}, train {train:.0f})"
    return step * rl_steps() / 3600, note


STAGES = {
    "captions, 1,219 videos": caption_hours,
    "33 K walks": trace_hours,
    "SFT, 3 epochs": sft_hours,
    "GRPO, 2 epochs, one after the other": lambda gpus: rl_hours(gpus, False),
    "GRPO, 2 epochs, overlapped": lambda gpus: rl_hours(gpus, True),
}


def hours_table() -> Iterator[str]:
    """Rows of the table of hours, without its head."""
    for name, stage in STAGES.items():
        yield f"| {name} | " + " | ".join(_hours(stage(gpus)[0]) for gpus in SIZES) + " |"


def notes_table() -> Iterator[str]:
    for name, stage in STAGES.items():
        for gpus in SIZES:
            yield f"| {name} | {gpus} | {stage(gpus)[1]} |"


def figures_table() -> Iterator[str]:
    for name, each in FIGURES.items():
        yield f"| `{name}` | {each.value:,.10g} {each.unit} | {each.origin} | {each.why} |"


def efficiency_table() -> Iterator[str]:
    """Share of GPU-hours that 8 GPUs would need, against what is spent."""
    for name, stage in STAGES.items():
        base = stage(SIZES[0])[0] * SIZES[0]
        yield f"| {name} | " + " | ".join(f"{base / (stage(gpus)[0] * gpus):.0%}" for gpus in SIZES) + " |"


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    for title, rows in (
        ("hours", hours_table()), ("of the GPU-hours that 8 GPUs need", efficiency_table()),
        ("how", notes_table()), ("figures", figures_table()),
    ):  # fmt: skip
        print(f"\n{title}", *rows, sep="\n")


if __name__ == "__main__":
    main()
