"""A rule policy served over HTTP as a teacher: an OpenAI-compatible server that plays episodes in the text protocol.

It stands where a language model would stand, so that a run can be tried, tested and measured without one:

    python -m benchmarks.teacher_server runs/goalstep --port 8098 --latency 0.3 --faults 0.1

The episodes are the scripted expert's (data_gen/expert.py) over the questions and trees of the folder. Some replies
can be made wrong, malformed or doubled, and requests with images (`video_qa`) get a fixed sentence. `GET /stats` tells
what it was asked.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.expert import Expert
from longvideo_r1.turns import Turn, read_turn
from navigation import (
    TOOLS,
    Policy,
    Question,
    Reply,
    Task,
    TreeStore,
    assistant_message,
    question_text,
    read_questions,
    split_prompt,
)
from runtime.testing.chat_server import Answer, ChatServer, Refused, command_parser, serve

FAULTS = ("500", "429", "timeout", "disconnect", "malformed")
_NONSENSE = "I would rather talk about something else."


@dataclass(frozen=True, slots=True)
class Manners:
    """Shares of episodes or replies that are bad, drawn by a hash of the request: equal requests get equal replies.

    Args:
        wrong: Share of questions that are answered wrongly until `hints_needed` hints have been given.
        hints_needed: After so many hints the answer is right.
        nonsense: Share of replies that are malformed.
        double: Share of calls that are followed by a second one in the same reply.
        telling: Share of hinted episodes whose reasoning names the hint.
    """

    wrong: float = 0.0
    hints_needed: int = 1
    nonsense: float = 0.0
    double: float = 0.0
    telling: float = 0.0


class TeacherServer(ChatServer):
    """Plays episodes by a rule policy.

    Args:
        questions: What it may be asked about.
        trees: Their caption trees.
        policy: Who plays; default: the expert.
        manners: How badly.
        options: See `ChatServer`.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        trees: TreeStore,
        policy: Policy | None = None,
        manners: Manners | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("kinds", FAULTS)
        super().__init__(self._answer, **options)
        self.policy = policy or Expert(questions, wander=0.35)
        self.manners = manners or Manners()
        self._trees = trees
        self._questions = {question_text(question): question for question in questions}

    async def _answer(self, request: dict[str, Any], body: bytes) -> Answer:
        images = body.count(b'"image_url": {"url"')
        try:
            text = await self._reply(request, body)
        except KeyError:
            raise Refused(400, "no question of this folder") from None
        usage = {"prompt_tokens": len(body) // 4, "completion_tokens": max(1, len(text) // 4)}
        return Answer(text, usage, images)

    async def _reply(self, request: Mapping[str, Any], body: bytes) -> str:
        if b'"image_url"' in body:
            return f"Stub answer {hashlib.sha256(body).hexdigest()[:8]}: nothing was understood, only received."
        chance = random.Random(hashlib.sha256(body).digest())
        if chance.random() < self.manners.nonsense:
            return _NONSENSE
        question, task, messages, hints = self._public(request)
        reply = await self.policy.reply(task, messages)
        step = _step_of(reply, question)
        wrong = random.Random(f"{question.id}#{task.sample}")
        if step.letter and wrong.random() < self.manners.wrong and hints < self.manners.hints_needed:
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(question.options)].replace(question.answer, "")
            step = Turn("It is hard to say, so I guess.", letter=wrong.choice(letters))
        if hints and wrong.random() < self.manners.telling:
            step = Turn(f"The hint says where. {step.reasoning}", step.tool, step.arguments, step.letter)
        text = step.text()
        if step.tool and chance.random() < self.manners.double:
            text += "<tool>get_caption([1, 1])</tool><think>Then this.</think><answer>A</answer>"
        return text

    def _public(self, request: Mapping[str, Any]) -> tuple[Question, Task, list[dict[str, Any]], int]:
        """What a policy would see of the teacher's private transcript, and how many hints are in it."""
        system, user, *rest = request["messages"]
        question = self._questions[split_prompt(user["content"])[1]]
        messages = [system, user]
        hints = 0
        for said, heard in zip(rest[::2], rest[1::2], strict=False):
            step = read_turn(said["content"], len(question.options))
            if heard["content"].startswith("<result>") and isinstance(step, Turn):
                messages.append(assistant_message(step.reasoning, calls=[(step.tool, dict(step.arguments or {}))]))
                content = heard["content"].removeprefix("<result>").removesuffix("</result>")
                messages.append({"role": "tool", "name": step.tool, "content": content})
            hints += heard["content"].startswith("The answer ")
        grid = self._trees[question.video_id].grid
        sample = request.get("seed") or 0
        return question, Task(question.public, grid, tuple(messages[:2]), TOOLS, sample), messages, hints


def _step_of(reply: Reply, question: Question) -> Turn:
    message = reply.message
    reasoning = message.get("reasoning_content") or "I think."
    if calls := message.get("tool_calls"):
        return Turn(reasoning, calls[0]["function"]["name"], calls[0]["function"]["arguments"])
    step = read_turn(f"<think>{reasoning}</think>{message['content']}", len(question.options))
    return step if isinstance(step, Turn) else Turn(reasoning, letter="A")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser(__doc__ or "", hang=600.0)
    parser.add_argument("folder", type=Path, help="holds questions.jsonl and trees/")
    parser.add_argument("--wander", type=float, default=0.35, help="chance of each detour")
    parser.add_argument("--verify", type=float, default=None, help="chance of a video_qa call")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of episodes that first answer wrongly")
    parser.add_argument("--hints-needed", type=int, default=1, help="hints after which they answer rightly")
    parser.add_argument("--nonsense", type=float, default=0.0, help="share of malformed replies")
    parser.add_argument("--double", type=float, default=0.0, help="share of calls with a second one behind")
    parser.add_argument("--telling", type=float, default=0.0, help="share of hinted episodes that name the hint")
    options = parser.parse_args(arguments)
    questions = [each for each in read_questions(options.folder / "questions.jsonl") if each.clue_intervals]
    manners = Manners(options.wrong, options.hints_needed, options.nonsense, options.double, options.telling)
    expert = Expert(questions, wander=options.wander, verify=options.verify)
    server = TeacherServer(
        questions,
        TreeStore(options.folder / "trees", capacity=2000),
        expert,
        manners,
        latency=options.latency,
        faults=options.faults,
        hang=options.hang,
        seed=options.seed,
    )
    serve(server, options.port, "teacher stub at {address}: scripted episodes, no model")


if __name__ == "__main__":
    main()
