"""A row of each data set."""

from typing import Any

from navigation import TOOLS, Question, Trajectory, initial_messages, repeats

SFT_COLUMNS = {
    "messages": "json_list", "tools": "json_list", "id": "text", "question_id": "text", "video_id": "text",
    "source": "text", "kind": "text", "answer": "text", "turns": "int", "visits": "int", "hints": "int",
    "teacher": "text", "prompt_tokens": "int", "completion_tokens": "int", "usd": "float",
}  # fmt: skip
RL_COLUMNS = {
    "prompt": "json_list", "id": "text", "video_id": "text", "question": "text", "options": "texts", "answer": "text",
    "clue_intervals": "spans", "duration": "float", "source": "text", "kind": "text", "pass_rate": "float",
}  # fmt: skip


def sft_row(walk: Trajectory, question: Question) -> dict[str, Any]:
    """One conversation: `messages` and `tools` as `trl sft` takes them, and what is known of the walk.

    Trained on are reasoning, calls and answer; everything else is context.
    """
    teacher = walk.teacher
    return {
        "messages": walk.messages, "tools": TOOLS, "id": walk.id, "question_id": walk.question_id,
        "video_id": walk.video_id, "source": question.source, "kind": question.kind, "answer": question.answer,
        "turns": walk.turns, "visits": len(walk.visits), "hints": int(teacher.get("hints", 0)),
        "teacher": str(teacher.get("model", "")), "prompt_tokens": walk.prompt_tokens,
        "completion_tokens": walk.completion_tokens, "usd": float(teacher.get("usd", 0.0)),
    }  # fmt: skip


def rl_row(question: Question, pass_rate: float | None = None) -> dict[str, Any]:
    """One question: `prompt` for GRPO, and the columns that environment and rewards read."""
    return {"prompt": initial_messages(question), **question.to_dict(), "pass_rate": pass_rate}


def walk_figures(walk: Trajectory) -> dict[str, float]:
    """What the card averages over."""
    return {
        "turns": walk.turns, "visits": len(walk.visits), "repeats": repeats(walk.visits),
        "video_qa": sum(visit.tool == "video_qa" for visit in walk.visits), "hints": int(walk.teacher.get("hints", 0)),
    }  # fmt: skip
