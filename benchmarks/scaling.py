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
        736_000, "tokens a video", "measured", "frames and sizes of the recipe, Qwen3-VL's 32 px patches"
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
    "trajectories": Figure(33_000, "trajectories", "published", "LongVideo-R1's set"),
    "trajectory_tokens": Figure(6_500, "tokens a trajectory", "assumed", "2,000 of prompt, 10.5 calls of 420"),
    "generated_tokens": Figure(2_200, "tokens a trajectory", "assumed", "11.5 turns of about 190"),
    "teacher_waste": Figure(1.3, "asked for a kept one", "assumed", "hinted, wrong and dropped trajectories"),
    "qa_share": Figure(1.0, "video_qa a trajectory", "assumed", ""),
    "qa_tokens": Figure(9_200, "tokens", "measured", "16 frames at 1,024 px, Qwen3-VL's 32 px patches"),
    "client_cpu": Figure(0.24, "CPU-s a trajectory", "measured", "one `video_qa` each: docs/results/speed.md"),
    "policy_operations": Figure(
        5.12e10, "operations a token", "measured", "`trainer.estimate.step_flops` of Qwen3-8B at the mean trajectory"
    ),
    "epochs_sft": Figure(3, "epochs", "published", ""),
    "row_tokens": Figure(24_576, "tokens a row", "published", "packed rows of the SFT recipe"),
    "rows_a_step": Figure(64, "rows a step", "assumed", "8 GPUs × 8 accumulation steps"),
    "train_mfu": Figure(
        0.4, "of the peak", "assumed", "35–38 % measured on one H200, 33–39 % published for H100s; 45 % is our aim"
    ),
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


def caption_seconds() -> float:
    """GPU-seconds of a video of mean length."""
    prompt = figure("image_tokens") + figure("segments") * figure("caption_text_tokens")
    prefill = 2 * figure("vision_parameters") * prompt / (figure("peak") * figure("prefill_mfu"))
    decode = figure("segments") * figure("caption_tokens") / figure("decode_rate_32b")
    return prefill + decode


def caption_hours(gpus: int) -> tuple[float, str]:
    """Captions: work divides by replica until a replica's share is about one video."""
    video = caption_seconds()
    replicas = gpus / figure("vision_gpus")
    longest = video * figure("longest_video") / figure("video_seconds") / figure("vision_gpus")
    even = figure("videos") * video / gpus
    share = ceil(figure("videos") / replicas) * video / figure("vision_gpus")
    seconds = max(even, min(share, even + longest))
    return seconds / 3600, f"{video:.0f} GPU-s a video; {figure('videos') / replicas:.1f} videos a replica"


def trace_hours(gpus: int) -> tuple[float, str]:
    """A 32B teacher's trajectories, `video_qa` by the vision model beside it."""
    trajectories = figure("trajectories") * figure("teacher_waste")
    rate = figure("peak") * figure("prefill_mfu")
    prefill = 2 * figure("vision_parameters") * figure("trajectory_tokens") / rate
    trajectory = prefill + figure("qa_share") * look_seconds() + figure("generated_tokens") / figure("decode_rate_32b")
    hours = (trajectories * trajectory / gpus + last_trajectory()) / 3600
    return (
        hours,
        f"{trajectory:.1f} GPU-s a trajectory; the last trajectory alone takes {last_trajectory() / 60:.1f} min",
    )


def last_trajectory() -> float:
    """Seconds of a trajectory whose every turn asks the vision model, at half the usual pace."""
    return figure("longest_turns") * 2 * (figure("turn_seconds") + figure("qa_seconds"))


def sft_hours(gpus: int) -> tuple[float, str]:
    """SFT: a step's rows divide among GPUs until each has one."""
    tokens = figure("trajectories") * figure("trajectory_tokens") * figure("epochs_sft")
    steps = tokens / (figure("rows_a_step") * figure("row_tokens"))
    busy = min(gpus, figure("rows_a_step"))
    mfu = figure("train_mfu") * (figure("network_loss") if gpus > PER_NODE else 1)
    seconds = train_operations(tokens) / (busy * figure("peak") * mfu)
    return seconds / 3600, f"{steps:.0f} steps; {busy:.0f} GPUs have a row to train on"


def rl_steps() -> float:
    return figure("rl_questions") * figure("epochs_rl") / figure("questions_a_step")


def train_operations(tokens: float) -> float:
    """Forward and backward, and attention inside trajectories; what checkpointing computes again is not counted."""
    return figure("policy_operations") * tokens


def look_seconds() -> float:
    """GPU-seconds of the vision model for one `video_qa`."""
    return 2 * figure("vision_parameters") * figure("qa_tokens") / (figure("peak") * figure("prefill_mfu"))


def longest_rollout() -> float:
    """Seconds of a step's longest rollout, however many GPUs there are."""
    return figure("longest_turns") * figure("turn_seconds") + figure("qa_seconds")


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of a GRPO step and of its parts: generating, answering `video_qa` meanwhile, training."""

    whole: float
    generate: float
    look: float
    train: float


def rl_step(gpus: int, overlapped: bool) -> Step:
    episodes = figure("questions_a_step") * figure("rollouts")
    # One GPU in four serves the vision model; where generating overlaps, the rest is halved between the two.
    own = gpus * 3 / 4
    look = episodes * figure("qa_share") * look_seconds() / (gpus / 4)
    sides = (own / 2, own / 2) if overlapped else (own, own)
    longest = longest_rollout()
    even = episodes * figure("generated_tokens") / figure("decode_rate_8b") / sides[0]
    # A GPU of the trainer has at least one episode; the reference's forward pass adds a third.
    busy = min(sides[1], episodes)
    mfu = figure("train_mfu") * (figure("network_loss") if gpus > PER_NODE else 1)
    train = train_operations(episodes * figure("trajectory_tokens")) * 4 / 3 / (busy * figure("peak") * mfu)
    if overlapped:
        # Rollouts of the next steps fill the gaps that the longest one leaves, as far as staleness allows (two steps).
        generate = max(even, longest / 3)
        return Step(max(generate, look, train) + figure("sync_seconds"), generate, look, train)
    generate = even + longest
    # Rollouts wait for their answers: the slower of the two sides sets the pace.
    return Step(max(generate, look) + train + figure("sync_seconds"), generate, look, train)


def rl_hours(gpus: int, overlapped: bool) -> tuple[float, str]:
    step = rl_step(gpus, overlapped)
    parts = f"generate {step.generate:.0f}, video_qa {step.look:.0f}, train {step.train:.0f}"
    return step.whole * rl_steps() / 3600, f"{rl_steps():.0f} steps of {step.whole:.0f} s ({parts})"


STAGES = {
    "captions, 1,219 videos": caption_hours,
    "33 K trajectories": trace_hours,
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


LIMITS = """
**Captions** divide by video: an array's share is a set of whole videos, each decoded once. At {many} GPUs
({replicas:.0f} replicas of a 32B model) a replica has {share:.1f} videos, and the longest one decides the end. Past
{videos:,.0f} replicas a share is one video and nothing is gained. Before that, decoding may be the limit:
{decode:.0f} CPU-seconds a video at 640×360 are {core:.2f} of a core for each replica, and 1080p needs {large:.1f}
cores: give each array task that many.

**Trajectories** divide by question, and a trajectory is a chain of replies: its rounds cannot be made at the same time.
The last trajectory alone takes {tail:.1f} minutes, which is nothing on {few} GPUs and {tail_share:.0%} of the time on
{many}. A trajectory with its `video_qa` costs the client {client:.2f} CPU-seconds: {many} GPUs keep {clients} client
processes of one core busy, that is `--tasks` or an array.

**SFT** stops at the number of rows in a step. The recipe's step is {rows:.0f} packed rows; one GPU more has none.
More GPUs need more rows a step (another recipe: fewer steps, another learning rate) or rows divided among GPUs
(context parallelism, which no file here sets up). {some} GPUs do it in {sft}; {many} change nothing.

**GRPO** stops at its longest rollout, where its vision model does not stop it before. A step has {episodes:.0f}
rollouts; {turns:.0f} turns one after another take about {wait:.0f} s however many GPUs stand by, so that steps with
one part after the other go from {after[0].whole:.0f} s on {few} GPUs to {after[1].whole:.0f} s on {some} and
{after[2].whole:.0f} s on {many}. The asynchronous engine fills that wait with rollouts of later steps and reaches
{over[1].whole:.0f} s on {some} GPUs and {over[2].whole:.0f} s on {many}: beyond that staleness is the limit, not
hardware. {many} GPUs are of use for eight runs at once (seeds, rewards), or with more questions a step.

**The vision model under GRPO** answers {looks:.0f} questions about clips a step, {look:.0f} GPU-seconds. A quarter of
{few} GPUs takes {over[0].look:.0f} s for them, while generating takes {after[0].generate:.0f} s and training
{after[0].train:.0f} s on the others; of {some} {over[1].look:.0f} s beside {after[1].generate:.0f} s and
{after[1].train:.0f} s. The slowest part is {slow_after} one after the other, {slow_over} overlapped. Where it is
`video_qa`, more of the GPUs for the vision model, a smaller one, fewer frames a clip or fewer such calls help.
"""
"""The bullets of the page."""


def limits() -> Iterator[str]:
    """Where more GPUs stop helping, stage by stage."""
    few, some, many = SIZES
    after, over = ([rl_step(gpus, overlapped) for gpus in SIZES] for overlapped in (False, True))
    replicas, hours = many / figure("vision_gpus"), trace_hours(many)[0]
    core = figure("decode_cpu") / (caption_seconds() / figure("vision_gpus"))
    trajectories = figure("trajectories") * figure("teacher_waste") / (hours * 3600)
    episodes = figure("questions_a_step") * figure("rollouts")
    text = LIMITS.format(
        few=few,
        some=some,
        many=many,
        after=after,
        over=over,
        replicas=replicas,
        share=figure("videos") / replicas,
        videos=figure("videos"),
        decode=figure("decode_cpu"),
        core=core,
        large=9 * core,
        tail=last_trajectory() / 60,
        tail_share=last_trajectory() / 3600 / hours,
        client=figure("client_cpu"),
        clients=ceil(trajectories * figure("client_cpu")),
        rows=figure("rows_a_step"),
        sft=_hours(sft_hours(some)[0]),
        episodes=episodes,
        turns=figure("longest_turns"),
        wait=longest_rollout(),
        looks=episodes * figure("qa_share"),
        look=over[0].look * few / 4,
        slow_after=_slowest(after),
        slow_over=_slowest(over),
    )
    yield from text.strip().split("\n\n")


def _slowest(steps: Sequence[Step]) -> str:
    """`video_qa on 8 GPUs, generating on 64 and 512`."""
    sizes: dict[str, list[str]] = {}
    for gpus, step in zip(SIZES, steps, strict=True):
        parts = {"generating": step.generate, "`video_qa`": step.look, "training": step.train}
        sizes.setdefault(max(parts, key=parts.__getitem__), []).append(str(gpus))
    return ", ".join(f"{part} on {' and '.join(where)} GPUs" for part, where in sizes.items())


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    for title, rows in (
        ("hours", hours_table()), ("of the GPU-hours that 8 GPUs need", efficiency_table()),
        ("how", notes_table()), ("where it stops", limits()), ("figures", figures_table()),
    ):  # fmt: skip
        print(f"\n{title}", *rows, sep="\n")


if __name__ == "__main__":
    main()
