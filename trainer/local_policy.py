"""A checkpoint on this machine as a policy: many episodes at once, each with its keys kept between turns.

Token ids are kept and appended to, never rendered again: what the model reads is what it reads in GRPO.
"""

import asyncio
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from trl import ModelConfig
from trl.chat_template_utils import parse_response

from longvideo_r1.tagged import read_message, tagged_template, to_tagged
from navigation import InputError, Policy, Reply, SearchSettings, Task
from trainer.checkpoint import load_model, load_tokenizer, read_record, search_of, tools_of, weights_of
from trainer.cpu import computes_bf16
from trainer.running_batch import MOST_BYTES, Row, RunningBatch

PROTOCOLS = ("native", "tagged")
_REMEMBERED = 4096
TOKENS_BETWEEN = 16
"""Tokens after which those that asked meanwhile are let in, where no turn has ended before."""
FAST_IN_BF16 = 50e6
"""Parameters from which bfloat16 plays faster where the processor computes in it: smaller models wait for others."""


@dataclass(slots=True)
class _Request:
    ids: list[int]
    noise: np.ndarray
    """A number in [0, 1) for each token that the turn may have, [tokens]."""
    first: bool
    """Whether it asks for an episode's first turn."""
    done: asyncio.Future = field(repr=False)


class LocalPolicy(Policy):
    """Samples turns from a checkpoint folder or Hub model.

    Args:
        checkpoint: Folder or Hub name; a LoRA adapter folder works too when peft can find its base.
        temperature: 0 takes the likeliest token.
        seed: Seeds each turn's noise, with the question's id, the sample and the turn: a turn does not depend on which
            other episodes run beside it, except through rounding.
        max_completion_tokens: Most tokens of an episode after its prompt, tool replies included. The model's own
            context is a limit too: an untrained model would ramble on past the positions that it knows.
        max_turn_tokens: Most tokens of one message, whose episode ends there; None: what the episode has left.
        device: Where to run; default: the first GPU, else the CPU.
        protocol: `native` for Qwen3's tool calls, `tagged` for the released LongVideo-R1 checkpoints.
        system_prompt: File with the system prompt of a tagged checkpoint; `{width}` stands for the tree's width.
        most_bytes: Keys and values that are kept at once; episodes beyond it wait until others end.
    """

    system: str | None
    """The system prompt of a tagged checkpoint; None: the released one."""
    _tools: tuple[str, ...] | None = None
    _search: SearchSettings | None = None
    _weights: str = ""

    def __init__(
        self,
        checkpoint: str,
        temperature: float = 1.0,
        seed: int = 0,
        max_completion_tokens: int = 12288,
        name: str = "local",
        device: str | None = None,
        protocol: str = "native",
        system_prompt: str | None = None,
        max_turn_tokens: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise InputError("local policy", "protocol", protocol, f"give one of {', '.join(PROTOCOLS)}")
        if system_prompt is not None and (protocol != "tagged" or not Path(system_prompt).is_file()):
            hint = "give a text file, and protocol tagged: the native one has a system prompt of its own"
            raise InputError("local policy", "system_prompt", system_prompt, hint)
        tokenizer = load_tokenizer(checkpoint, tagged_template() if protocol == "tagged" else None)
        model = load_model(ModelConfig(model_name_or_path=checkpoint, dtype="auto")).eval()
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if model.device.type == "cpu":
            fast = computes_bf16() and model.num_parameters() >= FAST_IN_BF16
            model.to(torch.bfloat16 if fast else torch.float32)
        self._begin(model, tokenizer, temperature, seed, max_completion_tokens, name, max_turn_tokens, most_bytes)
        self.protocol = protocol
        self._weights = weights_of(checkpoint) or getattr(model.config, "_commit_hash", None) or ""
        record = read_record(checkpoint)
        if protocol == "native" and record.get("stage") in ("sft", "grpo"):
            self._tools, self._search = tools_of(record), search_of(record)
        if system_prompt is not None:
            self.system = Path(system_prompt).read_text(encoding="utf-8")

    @property
    def settings(self) -> dict[str, Any]:
        """Its weights too: a folder that is trained on holds another policy under the same name."""
        return {"weights": self._weights, "temperature": self.temperature, "protocol": self.protocol}

    @property
    def trained_tools(self) -> tuple[str, ...] | None:
        return self._tools

    @property
    def trained_search(self) -> SearchSettings | None:
        return self._search

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float = 1.0,
        seed: int = 0,
        max_completion_tokens: int = 12288,
        name: str = "local",
        max_turn_tokens: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> "LocalPolicy":
        """A model that is in memory already, where it is and as it is."""
        policy = cls.__new__(cls)
        policy._begin(model, tokenizer, temperature, seed, max_completion_tokens, name, max_turn_tokens, most_bytes)
        return policy

    def _begin(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        temperature: float,
        seed: int,
        most: int,
        name: str,
        most_a_turn: int | None,
        most_bytes: int,
    ) -> None:
        if temperature < 0:
            raise InputError("local policy", "temperature", temperature, "give 0 or more")
        if most_a_turn is not None and most_a_turn < 1:
            raise InputError("local policy", "max_turn_tokens", most_a_turn, "give at least 1, or leave it out")
        self.name, self.temperature, self.seed, self.most = name, temperature, seed, most
        self.most_a_turn = most_a_turn or sys.maxsize
        self.model, self.tokenizer = model, tokenizer
        self.context = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
        self.protocol, self.system = "native", None
        self.batch = RunningBatch(model, _ending_tokens(model.generation_config, tokenizer), most_bytes)
        self._transcripts: OrderedDict[tuple[str, int], tuple[list[int], int]] = OrderedDict()
        self._waiting: list[_Request] = []
        self._playing: dict[Row, _Request] = {}
        self._worker: asyncio.Task | None = None

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        key, turn = (task.question.id, task.sample), sum(message["role"] == "assistant" for message in messages)
        ids, prompt = self._ids(key, task, messages)
        room = min(self.most - (len(ids) - prompt), self.context - len(ids))
        if room < 1:
            # The last tool reply filled the budget or the context: the episode ends without another word.
            return Reply({"role": "assistant", "content": ""}, len(ids), 0, truncated=True)
        room = min(room, self.most_a_turn)
        digest = hashlib.sha256(f"{self.seed}/{task.question.id}/{task.sample}/{turn}".encode()).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8])).random(room, dtype=np.float32)
        new = await self._turn(ids, noise, first=turn == 0)
        message = self._read(task, new, ids)
        if message.get("tool_calls"):
            self._transcripts[key] = (ids + new, prompt)
            while len(self._transcripts) > _REMEMBERED:
                self._transcripts.popitem(last=False)
        else:
            self._transcripts.pop(key, None)
        cut = not new or new[-1] not in self.batch.eos
        return Reply(message, len(ids), len(new), truncated=cut)

    async def _turn(self, ids: list[int], noise: np.ndarray, first: bool) -> list[int]:
        """The tokens that the model says after `ids`, at most one for each number of `noise`."""
        request = _Request(ids, noise, first, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await request.done

    def _read(self, task: Task, new: list[int], ids: list[int]) -> dict[str, Any]:
        if self.protocol == "tagged":
            return read_message(cast(str, self.tokenizer.decode(new, skip_special_tokens=True)))
        return parse_response(self.tokenizer, new, prefix=ids, tools=[*task.tools])

    def _render(self, task: Task, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The conversation as this protocol's template takes it."""
        if self.protocol == "tagged":
            return {"conversation": to_tagged(messages, task.grid, self.system)}
        return {"conversation": messages, "tools": [*task.tools]}

    def _ids(self, key: tuple[str, int], task: Task, messages: list[dict[str, Any]]) -> tuple[list[int], int]:
        """Token ids of the transcript so far, and how many of them are the prompt's."""
        if key in self._transcripts and messages[-1]["role"] == "tool":
            ids, prompt = self._transcripts[key]
            return ids + self._suffix(task, messages), prompt
        rendered = self.tokenizer.apply_chat_template(
            **self._render(task, messages), add_generation_prompt=True, return_dict=False
        )
        ids = cast(list[int], rendered)
        return ids, len(ids)

    def _suffix(self, task: Task, messages: list[dict[str, Any]]) -> list[int]:
        """What the template writes from the last assistant turn's end token to the next assistant turn."""
        last = max(place for place, message in enumerate(messages) if message["role"] == "assistant")
        text, before = (
            cast(str, self.tokenizer.apply_chat_template(**rendered, tokenize=False, add_generation_prompt=more))
            for rendered, more in (
                (self._render(task, messages), True),
                (self._render(task, messages[: last + 1]), False),
            )
        )
        end = self.tokenizer.eos_token
        start = before.rindex(end) + len(end)
        return self.tokenizer(text[start:], add_special_tokens=False)["input_ids"]

    async def _work(self) -> None:
        """Plays while there are requests: those that came since join between two tokens, and a turn's end is told."""
        await self._settled()
        while self._waiting or self._playing:
            for row in [row for row, request in self._playing.items() if request.done.done()]:
                # An episode that was given up while its turn was written.
                self._playing.pop(row)
                self.batch.drop(row)
            try:
                ended = await asyncio.to_thread(self._advance)
            except Exception as error:
                for request in (*self._waiting, *self._playing.values()):
                    if not request.done.done():
                        request.done.set_exception(error)
                self._waiting, self._playing = [], {}
                self.batch.forget()
                continue
            for row in ended:
                request = self._playing.pop(row)
                if not request.done.done():
                    request.done.set_result(row.turn)
            if ended:
                await self._settled()

    async def _settled(self) -> None:
        """Gives the episodes time to call their tools and to ask for their next turns, which then join together."""
        count = -1
        while count != len(self._waiting):
            count = len(self._waiting)
            await asyncio.sleep(0.002)

    def _advance(self) -> list[Row]:
        """Lets in what waits and finds room, and samples until a turn ends, or for a few tokens; the ended rows."""
        # Side by side in order, prompts with one beginning: what comes second finds the keys of the first.
        self._waiting.sort(key=lambda request: request.ids)
        while self._waiting:
            request = self._waiting[0]
            row = self.batch.join(request.ids, len(request.noise), request.first)
            if row is None:
                break
            self._waiting.remove(request)
            self._playing[row] = request
        ended: list[Row] = []
        for _ in range(TOKENS_BETWEEN):
            if self._playing and not ended:
                ended = self.batch.step(self._sample)
        return ended

    def _sample(self, logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
        if self.temperature == 0:
            return logits.argmax(-1).tolist()
        # Inverse transform sampling: a number in [0, 1) falls into the stretch of one token.
        totals = torch.softmax(logits.float() / self.temperature, -1).cumsum(-1)  # [rows, vocabulary]
        uniform = [self._playing[row].noise[len(row.turn)] for row in rows]
        # Scaled by the last total, which rounding leaves a little off 1. [rows, 1]
        picked = torch.tensor(uniform, device=logits.device).unsqueeze(1) * totals[:, -1:]
        # A stretch of no length is passed over; [rows].
        places = torch.searchsorted(totals, picked, right=True).squeeze(1)
        return places.clamp(max=logits.shape[-1] - 1).tolist()


def _ending_tokens(config: GenerationConfig, tokenizer) -> list[int]:
    endings = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return [token for token in {tokenizer.eos_token_id, *endings} if token is not None]
