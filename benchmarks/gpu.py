"""What only a GPU tells of Qwen3-8B with random weights: SFT and GRPO steps, memory against its estimate, rounding.

    python -m benchmarks.gpu --out runs/gpu.json  # at most 5 minutes on one GPU of 80 GB
    python -m benchmarks.gpu --parts liger        # SFT with Liger's kernels, in a process of its own
    python -m benchmarks.gpu --tiny               # the same code with a tiny model on a CPU: no figures, only a check

The trainers are the project's own, the rollouts transformers' with scripted turns, attention is sdpa. Every result is
printed and written as soon as it is there. A part that runs out of its time, and a size that runs out of memory, say so
and give way to the next.
"""

import argparse
import gc
import json
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, PretrainedConfig, PrinterCallback, TrainerCallback
from trl import GRPOConfig, SFTConfig

from benchmarks.grpo import PLAYED, SILENT, TURNS, Clock, force, padded_rows, script
from data_gen.traces import write_traces
from navigation import EnvironmentFactory
from rewards import RewardMix
from rewards.trl_functions import trl_functions
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.estimate import GIB, Setup, config_of, memory, model_config, peak_flops, step_flops
from trainer.grpo_trainer import NavigationGRPOTrainer
from trainer.run import quiet_unless_watched
from trainer.sft_trainer import NavigationSFTTrainer
from trainer.tiny_base import corpus_texts, train_tokenizer


class OutOfTime(BaseException):
    """Not an `Exception`: what catches a result's errors lets it pass."""


class Report:
    """Results, printed and kept as they come.

    Args:
        file: Where they are written as JSON; None: nowhere.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.results: list[dict[str, Any]] = []

    def add(self, part: str, name: str, **figures: Any) -> None:
        self.results.append({"part": part, "name": name, **figures})
        shown = (
            f"{key}={value:,.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in figures.items()
        )
        print(f"{part:<8}{name}: {', '.join(shown)}", flush=True)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.results, indent=1), encoding="utf-8")

    @contextmanager
    def within(self, part: str, deadline: float) -> Iterator[None]:
        """Runs a part until `deadline` at most, and adds how it ended."""

        def stop(*_: Any) -> None:
            raise OutOfTime

        before, begun, how = signal.signal(signal.SIGALRM, stop), time.monotonic(), "done"
        signal.setitimer(signal.ITIMER_REAL, max(1.0, deadline - begun))
        try:
            yield
        except OutOfTime:
            how = "out of time"
        except Exception as error:
            how = told(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        free()
        self.add(part, "end", how=how, seconds=time.monotonic() - begun)

    def attempt(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Adds what `measure` finds, or why it found nothing."""
        try:
            figures = measure()
        except Exception as error:  # memory, or a kernel that this machine lacks: the other results do not need it
            figures = {"error": told(error)}
        free()
        self.add(part, name, **figures)


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:400]}"


def free() -> None:
    """Gives a GPU's memory back; trainers and their models refer to each other."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


QWEN3_8B = Path(__file__).parents[1] / "configs/model/qwen3_8b_random.yaml"
_SHAPE = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
]
SMALL = dict(zip(_SHAPE, (32_768, 1024, 3072, 4, 16, 8, 128, 40_960), strict=True))
TINY = dict(zip(_SHAPE, (512, 32, 64, 1, 2, 1, 16, 2048), strict=True))
SECONDS = {"sft": 100, "parity": 20, "grpo": 170, "liger": 60}
"""What each part may take. What one leaves is the next one's."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    model: PretrainedConfig
    small: PretrainedConfig
    lengths: tuple[int, ...] = (8192, 16_384, 24_576)
    steps: int = 3
    groups: int = 4
    rows: int = 4
    prompt: int = 1024
    turn: int = 64
    completion: int = 768
    scored: tuple[tuple[int, int, int], ...] = ((8, 512, 128), (8, 2048, 192))
    """Rows, prompt and completion of what the losses are timed on: the first fits without checkpointing on 80 GB."""
    compared: tuple[int, int, int] = (16, 512, 128)
    """The same, of what the losses are compared on in the small model."""

    @classmethod
    def of(cls, tiny: bool) -> "Sizes":
        if not tiny:
            return cls(model_config(str(QWEN3_8B)), config_of(SMALL))
        config = config_of(TINY)
        return cls(config, config, (64, 96), 2, 1, 4, 120, 20, 256, ((8, 24, 6),), (8, 24, 6))


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_gib() -> float:
    """Most memory that tensors took since the last call; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0.0
    most = torch.cuda.max_memory_allocated() / GIB
    torch.cuda.reset_peak_memory_stats()
    return most


def random_model(config: PretrainedConfig, device: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Made where it will run: neither a file nor the CPU ever holds it."""
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")


def sft_step(sizes: Sizes, world: "World", length: int, adapter: LoraConfig | None, liger: bool = False) -> dict:
    """Steps of the project's trainer on a row of `length` tokens whose second half is learned."""
    options = SFTConfig(
        **SILENT,
        output_dir=f"{world.folder}/sft",
        use_cpu=world.device == "cpu",
        bf16=True,
        per_device_train_batch_size=1,
        max_steps=sizes.steps,
        max_length=length,
        packing=False,
        gradient_checkpointing=True,
        optim="adamw_torch_fused",
        learning_rate=1e-5,
        use_liger_kernel=liger,
    )
    ids = torch.randint(0, sizes.model.vocab_size, (sizes.steps, length)).tolist()
    labels = [[-100] * (length // 2) + row[length // 2 :] for row in ids]
    clock = Clock(now)
    peak_gib()
    trainer = NavigationSFTTrainer(
        model=random_model(sizes.model, world.device),
        args=options,
        processing_class=world.tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": ids, "labels": labels}),
        peft_config=adapter,
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    took = statistics.median(clock.steps[1:])
    estimate = memory(sizes.model, Setup(length, adapter=adapter))
    reserved = torch.cuda.max_memory_reserved() / GIB if torch.cuda.is_available() else 0.0
    mfu = step_flops(sizes.model, length, length, adapter) / took / peak_flops()[1]
    return {
        "tokens_a_second": length / took,
        "mfu": mfu,
        "peak_gib": peak_gib(),
        "estimate_gib": estimate.total / GIB,
        "reserved_gib": reserved,
        "first_step_s": clock.steps[0],
        "step_s": took,
    }


def sft(report: Report, sizes: Sizes, world: "World") -> None:
    for name, adapter in (("LoRA", lora(64)), ("full", None)):
        for length in sizes.lengths:
            report.attempt("sft", f"{name} {length:,}", partial(sft_step, sizes, world, length, adapter))


def liger(report: Report, sizes: Sizes, world: "World") -> None:
    """The LoRA steps with Liger's kernels, which take the place of transformers' for the rest of the process."""
    if world.device != "cpu" and find_spec("liger_kernel"):
        for length in sizes.lengths[-2:]:
            report.attempt("liger", f"LoRA {length:,}", partial(sft_step, sizes, world, length, lora(64), True))


def lora(rank: int) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


class World:
    """The small world's questions and a tokenizer of its words, in a folder."""

    def __init__(self, folder: str, device: str, sizes: Sizes) -> None:
        self.folder, self.device = folder, device
        write_traces("small_world", None, Path(folder) / "traces", limit=64, wander=0.4)
        train_tokenizer(corpus_texts(Path(folder) / "traces")).save_pretrained(f"{folder}/base")
        traces, self.tokenizer = TracesFolder(Path(folder) / "traces"), load_tokenizer(f"{folder}/base")
        self.trees = traces.trees
        few = traces.rl_dataset(held=False).select(range(2 * sizes.groups))
        self.questions = padded_rows(few, self.tokenizer, sizes.prompt)

    def grpo_trainer(self, sizes: Sizes, model: Any, adapter: LoraConfig | None, *callbacks: TrainerCallback) -> Any:
        """The project's, over `model`, as `configs/grpo/qwen3_8b_lora_1gpu.yaml` has it but for vLLM."""
        model.config.update({name: getattr(self.tokenizer, name) for name in ("eos_token_id", "pad_token_id")})
        functions, weights = trl_functions(RewardMix.from_config(None), turns=TURNS + 1, tokens=sizes.completion)
        options = GRPOConfig(
            **PLAYED,
            output_dir=f"{self.folder}/grpo",
            use_cpu=self.device == "cpu",
            bf16=model.dtype == torch.bfloat16,
            per_device_train_batch_size=sizes.rows,
            gradient_accumulation_steps=8 * sizes.groups // sizes.rows,
            max_completion_length=sizes.completion,
            max_steps=2,
            gradient_checkpointing=True,
            learning_rate=1e-5,
            reward_weights=weights,
            optim="adamw_torch_fused",
        )
        return NavigationGRPOTrainer(
            model=model,
            args=options,
            train_dataset=self.questions,
            reward_funcs=functions,
            peft_config=adapter,
            processing_class=self.tokenizer,
            environment_factory=EnvironmentFactory(self.trees),
            callbacks=list(callbacks),
        )


def made_batch(vocabulary: int, rows: int, prompt: int, completion: int, device: str) -> dict[str, torch.Tensor]:
    """Random episodes of groups of 8, completions of all lengths down to half, with an advantage each."""
    chance = torch.Generator().manual_seed(0)
    prompts = torch.randint(5, vocabulary, (rows // 8, prompt), generator=chance).repeat_interleave(8, 0)
    ids = torch.cat([prompts, torch.randint(5, vocabulary, (rows, completion), generator=chance)], 1)
    ends = prompt + completion - torch.arange(rows) % 8 * completion // 16
    mask = (torch.arange(prompt + completion) < ends.unsqueeze(1)).long()
    advantages = torch.randn(rows, 1, generator=chance)
    return {name: each.to(device) for name, each in (("ids", ids), ("mask", mask), ("advantages", advantages))}


@dataclass(slots=True)
class Scored:
    loss: float
    logps: torch.Tensor
    gradients: dict[str, torch.Tensor]
    seconds: float
    peak: float


def scored(trainer: Any, batch: dict[str, torch.Tensor], keep: int, share: bool, checkpointing: bool) -> Scored:
    """The policy's loss on a batch and its gradients; the seconds are of the second time."""
    trainer.share_prompts, trainer._may_share, trainer.args.gradient_checkpointing = share, None, checkpointing
    model = trainer.model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()
    learned = batch["mask"][:, -keep:]
    peak_gib()
    for _ in range(2):
        model.zero_grad()
        begun = now()
        logps, *_ = trainer._get_per_token_logps_and_entropies(
            model, batch["ids"], batch["mask"], keep, compute_entropy=True, compute_aux_loss=False
        )
        loss = -(batch["advantages"] * logps * learned).sum() / learned.sum()
        loss.backward()
        took = now() - begun
    if trainer._may_share is not share:
        raise RuntimeError(f"prompts shared: {trainer._may_share}, asked for: {share}")
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    return Scored(loss.item(), logps.detach() * learned, gradients, took, peak_gib())


def difference(mine: Scored, theirs: Scored) -> dict[str, float | str]:
    """How far a loss and its gradients are from a reference, by norm; parameters without a gradient left out."""
    errors, off, whole = {}, 0.0, 0.0
    for name, reference in theirs.gradients.items():
        size = reference.float().norm().item()
        distance = (mine.gradients[name].float() - reference.float()).norm().item()
        off, whole = off + distance**2, whole + size**2
        if size > 0:
            errors[name] = distance / size
    worst = max(errors, key=errors.__getitem__)
    return {
        "loss": mine.loss,
        "reference": theirs.loss,
        "most_logp": (mine.logps - theirs.logps).abs().max().item(),
        "gradient": (off / whole) ** 0.5,
        "median": statistics.median(errors.values()),
        "most": errors[worst],
        "where": worst,
    }


def parity(report: Report, sizes: Sizes, world: World) -> None:
    """The shared-prompt loss against trl's in float32 and bf16, and both in bf16 against trl's in float32."""
    rows, prompt, keep = sizes.compared
    batch = made_batch(sizes.small.vocab_size, rows, prompt, keep, world.device)
    found: dict[tuple[torch.dtype, bool], Scored] = {}
    weights = random_model(sizes.small, world.device).state_dict()
    for dtype in (torch.float32, torch.bfloat16):
        model = random_model(sizes.small, world.device, dtype)
        model.load_state_dict(weights)
        trainer = world.grpo_trainer(sizes, model, None)
        for share in (True, False):
            found[dtype, share] = scored(trainer, batch, keep, share, False)
    full, half = torch.float32, torch.bfloat16
    for name, mine, theirs in (
        ("float32, shared against trl", (full, True), (full, False)),
        ("bf16, shared against trl", (half, True), (half, False)),
        ("shared in bf16 against trl in float32", (half, True), (full, False)),
        ("trl in bf16 against trl in float32", (half, False), (full, False)),
    ):
        report.add("parity", name, **difference(found[mine], found[theirs]))


def grpo(report: Report, sizes: Sizes, world: World) -> None:
    """Two steps of the project's trainer, the same rollouts without a kept cache, and the loss in three ways."""
    clock, peaks, played = Clock(now), [], []
    trainer = world.grpo_trainer(sizes, random_model(sizes.model, world.device), lora(32), clock)
    trainer.remove_callback(PrinterCallback)
    force(trainer, script(world.tokenizer, TURNS, sizes.turn))
    clock.watch(trainer)
    generate, score = trainer._generate, trainer._generate_and_score_completions

    def noted_generate(prompts: Any) -> Any:
        peak_gib()
        result = generate(prompts)
        peaks.append(peak_gib())
        return result

    def noted_score(inputs: Any) -> Any:
        played.append((inputs, score(inputs)))
        return played[-1][1]

    trainer._generate, trainer._generate_and_score_completions = noted_generate, noted_score
    trainer.train()
    learning_peak = peak_gib()
    episodes = played[-1][1]
    prompts, completions = episodes["prompt_mask"].sum().item(), episodes["completion_mask"].sum().item()
    said = (episodes["completion_mask"] * episodes["tool_mask"]).sum().item()
    learning = clock.steps[-1] - clock.rollouts[-1]
    report.add(
        "grpo",
        "step",
        episodes=len(episodes["prompt_mask"]),
        prompt_tokens=prompts,
        completion_tokens=completions,
        said_tokens=said,
        rollout_s=clock.rollouts[-1],
        learning_s=learning,
        said_a_second=said / clock.rollouts[-1],
        learned_a_second=(prompts + completions) / learning,
        rollout_gib=peaks[-1],
        learning_gib=learning_peak,
        first_rollout_s=clock.rollouts[0],
        first_learning_s=clock.steps[0] - clock.rollouts[0],
    )
    for rows, prompt, keep in sizes.scored:
        batch = made_batch(sizes.model.vocab_size, rows, prompt, keep, world.device)
        found: dict[str, Scored] = {}

        def loss(way: str, share: bool, checkpointing: bool, keep: int = keep, found: Any = found, batch: Any = batch):
            trainer.model.zero_grad()
            mine = found[way] = scored(trainer, batch, keep, share, checkpointing)
            first = next(iter(found.values()))
            apart = {} if mine is first else difference(mine, first)
            return {"seconds": mine.seconds, "peak_gib": mine.peak, "loss": mine.loss, **apart}

        for way, *how in (("trl, checkpointing", False, True), ("shared", True, False), ("trl", False, False)):
            name = f"loss of {rows} x ({prompt:,} + {keep}), {way}"
            report.attempt("grpo", name, partial(loss, way, *how))

    def without_cache() -> dict[str, Any]:
        trainer.keep_cache = False
        score(played[-1][0])
        return {"rollout_s": clock.rollouts[-1], "said_a_second": said / clock.rollouts[-1], "rollout_gib": peaks[-1]}

    report.attempt("grpo", "rollouts without a kept cache", without_cache)


PARTS = {"sft": sft, "parity": parity, "grpo": grpo, "liger": liger}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on a CPU, to check this file")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["sft", "parity", "grpo"])
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        parser.error("no GPU is here; --tiny runs on a CPU")
    quiet_unless_watched()
    warnings.filterwarnings("ignore", category=UserWarning)
    report, sizes, begun = Report(options.out), Sizes.of(options.tiny), time.monotonic()
    device = "cpu" if options.tiny else "cuda"
    card = "cpu" if options.tiny else torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder, device, sizes)
        report.add("machine", card, torch=torch.__version__, seconds=time.monotonic() - begun)
        deadline = time.monotonic()
        for part in options.parts:
            deadline += SECONDS[part]
            with report.within(part, deadline):
                PARTS[part](report, sizes, world)


if __name__ == "__main__":
    main()
