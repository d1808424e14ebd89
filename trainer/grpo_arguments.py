"""What a run of GRPO is told besides trl's own options."""

from dataclasses import dataclass, field

from trainer.arguments import DataArguments


@dataclass
class GRPOArguments(DataArguments):
    """GRPO's own: the engine, the reward mix, which episodes teach, what is kept and when a run stops itself."""

    engine: str = field(
        default="sync",
        metadata={"help": "Who generates, and when: sync (this process, then it learns) or async (a vLLM server, "
                  "all the time).", "choices": ["sync", "async"]},
    )  # fmt: skip
    reward: dict | None = field(
        default=None, metadata={"help": "Reward mix: a mapping of parts, as rewards.RewardMix.from_config takes it."}
    )
    episodes: dict | None = field(
        default=None,
        metadata={"help": "What becomes of episodes by status: a mapping from out_of_tokens, out_of_turns, unparsable, "
                  "failed to masked or penalised. Default: failed is masked, the others are penalised."},
    )  # fmt: skip
    train_questions: int | None = field(
        default=None, metadata={"help": "Train on at most this many questions; the first by a hash of their ids."}
    )
    held_out_questions: int = field(
        default=64, metadata={"help": "Questions of held-out videos to evaluate on, where eval_strategy says when."}
    )
    alarms: dict | None = field(
        default=None,
        metadata={"help": "When to stop a collapsing run: a mapping as trainer.alarms.Alarms takes it."},
    )  # fmt: skip
    record_rollouts: str = field(
        default="extremes",
        metadata={"help": "Which training rollouts to keep under <output_dir>/rollouts: all, extremes or none."},
    )
    cached_rollouts: bool = field(
        default=True, metadata={"help": "Keep the key-value cache between turns where transformers generates."}
    )
    shared_prompts: bool = field(
        default=True,
        metadata={"help": "Run a prompt once for its whole group in the loss, in one process without checkpointing."},
    )
    server_log: str | None = field(
        default=None,
        metadata={"help": "engine async: the file of the vLLM server's output; its last lines are shown when it dies."},
    )
    tool_threads: int = field(default=64, metadata={"help": "Most episodes whose tool calls run at the same time."})
    clip_url: str | None = field(
        default=None,
        metadata={"help": "Endpoint of the vision model that answers `video_qa`; default: the trees' timed lines do. "
                  "Its key, if any, comes from OPENAI_API_KEY."},
    )  # fmt: skip
    clip_model: str | None = field(default=None, metadata={"help": "The vision model's name there."})
    videos: str | None = field(default=None, metadata={"help": "Folder of video files, <video_id>.<suffix>."})
    clips_in_flight: int = field(
        default=64, metadata={"help": "Most questions to the vision model at once, a process."}
    )
