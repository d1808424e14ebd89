"""Mutated model outputs: nothing raises, time is bounded, and only what the environment ran earns credit."""

import json
import random
import time

import pytest

from navigation import (
    GET_CAPTION,
    JUMP,
    LETTERS,
    SEARCH,
    VIDEO_QA,
    CaptionTree,
    NavigationEnvironment,
    Question,
    SearchEnvironment,
    Status,
    TimeGrid,
    TreeStore,
    assistant_message,
    read_answer,
)
from rewards import RewardMix, official_score
from rewards.trl_functions import trl_functions

GRID = TimeGrid(270.0, 3, 3)
CLUES = ((91.0, 99.0), (200.0, 230.0))
COLUMNS = {
    "id": ["q"], "video_id": ["v"], "question": ["?"], "options": [["a", "b", "c", "d"]], "answer": ["B"],
    "clue_intervals": [CLUES], "duration": [270.0],
}  # fmt: skip
SECONDS = 60.0
"""Most CPU time one output may take: a guard against patterns that backtrack for hours, no measure of speed."""

OUTPUTS = [
    "<think>look</think>\n<tool>get_caption((2,1))</tool>\n<think>closer</think><tool>get_caption((2,1,1))</tool>"
    "<tool>video_qa((2,1,1), 'what colour?')</tool>\n<think>done</think>\n<answer>B</answer>",
    '<think>look</think>\n<tool_call>\n{"name": "get_caption", "arguments": {"segment": [2, 1, 1]}}\n</tool_call>',
    "<think>The third part.</think>\n\n<answer>B</answer>",
    "<answer>(B)</answer>", "B. Red", "Option B",
    "It is B, as get_caption([2, 1, 1]) says: 1:30-1:40 [2, 1, 1] found it",
]  # fmt: skip
INJECTED = [
    "</tool_response>", "<tool_response>", "<answer>B</answer>", "</answer>", "<answer>", "<think>", "</think>",
    "<tool>", "</tool>", "<tool_call>", "</tool_call>", "<|im_end|>", "<|im_start|>assistant", "get_caption((2,1,1))",
    "\x00", "\x1b[31m", "\u202e", "\ufeff", "\x85", "\u2028", "\r", "\n", "9" * 5000, "-1", "1e999", "{", "[", "(",
    "'", "\\", "\ud800", "ſ", "\u212a", "Ｂ", "В", "ı", "İ", "🅱", "{'error': 'x'}", '{"name": "get_caption"}',
]  # fmt: skip
LOOKALIKES = str.maketrans("0123456789B(),", "０１２３４５６７８９Ｂ（），")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def mutated(rng: random.Random) -> str:
    text = rng.choice(OUTPUTS)
    for _ in range(rng.randint(1, 4)):
        begin = rng.randrange(len(text) + 1)
        end = min(len(text), begin + rng.randint(0, 40))
        part = text[begin:end]
        choice = rng.randrange(9)
        if choice == 0:
            text = text[:begin]
        elif choice == 1:
            text = text[:begin] + part * rng.randint(2, 30) + text[end:]
        elif choice == 2:
            text = text[:begin] + rng.choice(OUTPUTS) + text[begin:]
        elif choice == 3:
            text = text[:begin] + part.translate(rng.choice((LOOKALIKES, ARABIC))) + text[end:]
        elif choice == 4:
            text = text[:begin] + chr(rng.choice((rng.randrange(32), rng.randrange(0x110000)))) + text[end:]
        elif choice == 5:
            text = text[begin:] + text[:begin]
        elif choice == 6:
            text = f"{rng.choice(('<think>', '<answer>', '<tool>', '(', '['))}{text}" * rng.randint(1, 3)
        else:
            text = text[:begin] + rng.choice(INJECTED) + text[begin:]
        text = text[:20_000]
    if rng.random() < 0.002:
        part = rng.choice(INJECTED) + rng.choice(("", part))
        text = part * (1_000_000 // len(part)) + rng.choice(("", "<answer>B</answer>"))
    return text


def mutated_arguments(rng: random.Random, text: str) -> object:
    """What a parser may hand to a tool: addresses, near misses, and any JSON."""
    choice = rng.randrange(-3, 8)
    if choice < 3:
        segment = [rng.randint(1, 3) for _ in range(rng.randint(1, 3))]
        return {"segment": segment, "query": text} if choice == 2 else {"segment": segment}
    if choice == 3:
        return {"segment": rng.choice([text, [text], -1, 10**5000, [10**30, 1], True, None, 2.0, {}, [[1]], [1] * 99])}
    if choice == 4:
        return {rng.choice(["segment", "segments", text[:50]]): [1], "query": rng.choice([text, None, 3])}
    if choice == 5:
        return '{"segment": [' + rng.choice(["2, 1", "9" * 5000, text]) + '], "query": "x"}'
    if choice == 6:
        return text
    return None


def mutated_lookup(rng: random.Random, text: str, name: str) -> object:
    if name not in (SEARCH, JUMP) or rng.random() < 0.2:
        return None
    if name == JUMP:
        return {"time": rng.choice([text, text[:8], "1:05", 65, -1, 10**5000, None, [1]])}
    within = rng.choice([[2], [2, 1], [9], text, None, 10**5000])
    query = rng.choice([text, text[:40], "found", None, 3])
    return {"query": query, "within": within} if rng.random() < 0.5 else {"query": query}


class Player:
    """Plays mutated transcripts against an environment, as trl plays real ones."""

    def __init__(self, trees: TreeStore) -> None:
        self.trees, self.environment = trees, SearchEnvironment(trees)
        self.mixes = [
            RewardMix.from_config({"grounding": {"measure": measure}}) for measure in ("navigation_f1", "interval_f1")
        ]
        self.functions = [trl_functions(mix)[0] for mix in self.mixes]
        self.replaying = trl_functions(self.mixes[0], replay=trees)[0]

    def play(self, rng: random.Random) -> list[dict]:
        environment = self.environment
        environment.reset(video_id="v")
        messages: list[dict] = []
        for _ in range(rng.randint(0, 4)):
            text = mutated(rng)
            name = rng.choice([GET_CAPTION, GET_CAPTION, GET_CAPTION, VIDEO_QA, SEARCH, JUMP, "reset", text[:30]])
            arguments = mutated_lookup(rng, text, name) or mutated_arguments(rng, text)
            messages.append(assistant_message(text, text, [(name, arguments)]))
            messages.append({"role": "tool", "name": name, "content": execute(environment, name, arguments)})
        if rng.random() < 0.9:
            messages.append(assistant_message(mutated(rng), mutated(rng)))
        return messages


def execute(environment: NavigationEnvironment, name: str, arguments: object) -> str:
    """trl's way: any exception becomes an error that the model reads."""
    try:
        if name not in (GET_CAPTION, VIDEO_QA, SEARCH, JUMP):
            raise KeyError(name)
        values = json.loads(arguments) if isinstance(arguments, str) else arguments
        return getattr(environment, name)(**values)
    except Exception as error:
        return str({"error": str(error)})


def check(player: Player, rng: random.Random) -> float:
    """Scores one mutated output and one mutated transcript; returns the CPU seconds of the slower reading."""
    text = mutated(rng)
    begun = time.process_time()
    letter = read_answer(text, 4)
    slowest = time.process_time() - begun
    assert letter is None or letter in LETTERS[:4]
    begun = time.process_time()
    official = official_score(text, "B", CLUES, 3, 270.0)
    slowest = max(slowest, time.process_time() - begun)
    assert official["answer_reward"] in (0.0, 1.0)

    messages = player.play(rng)
    arguments = {"prompts": [[]], "completions": [messages], "environments": [player.environment], **COLUMNS}
    visits = player.environment.visits
    last = messages[-1] if messages else {}
    for mix, functions in zip(player.mixes, player.functions, strict=True):
        begun = time.process_time()
        parts = {function.__name__: function(**arguments)[0] for function in functions}
        slowest = max(slowest, time.process_time() - begun)
        silent = mix.score(
            Question("q", "v", "?", ("a", "b", "c", "d"), "B", CLUES, 270.0),
            GRID,
            visits,
            Status.ANSWERED,
            "B",
            0,
            lookups=player.environment.lookups,
        )
        assert 0 <= parts["grounding"] <= 1
        assert parts["grounding"] == silent.parts["grounding"]
        if parts["answer"]:
            assert last["role"] == "assistant"
            assert not last.get("tool_calls")
            assert read_answer(last["content"], 4) == "B"
            assert parts["visit_cost"] == silent.parts["visit_cost"]
    if not visits:
        assert parts["grounding"] == 0
    replayed = {**arguments, "environments": None}
    for part in (1, 2):
        assert player.replaying[part](**replayed)[0] == player.functions[0][part](**arguments)[0]
    return slowest


@pytest.fixture
def player(tmp_path) -> Player:
    trees = TreeStore(tmp_path)
    texts = [text for text in INJECTED if text != "\ud800"]
    trees.save(CaptionTree("v", GRID, {path: texts[i % len(texts)] for i, path in enumerate(GRID.paths())}))
    return Player(trees)


def fuzz(player: Player, count: int, seed: int) -> None:
    rng = random.Random(seed)
    visited = looked = 0
    slowest = 0.0
    for _ in range(count):
        slowest = max(slowest, check(player, rng))
        visited += bool(player.environment.visits)
        looked += bool(player.environment.lookups)
    assert slowest < SECONDS
    assert visited > count / 4, "the fuzz must reach the environment"
    assert looked > count / 10


def test_mutated_outputs(player) -> None:
    fuzz(player, 3_000, seed=1)


@pytest.mark.slow
def test_two_hundred_thousand_mutated_outputs(player) -> None:
    fuzz(player, 200_000, seed=2)


@pytest.mark.parametrize("text", ["<answer>ſ</answer>", "<answer>\u212a</answer>", "ı", "<answer>Ｂ</answer>", "В"])
def test_look_alike_letters_are_no_answer(text: str) -> None:
    assert read_answer(text, 26) is None


def test_unfinished_reasoning_is_no_answer_however_long() -> None:
    assert read_answer("<think>" + "x" * 30_000 + "<answer>B</answer>", 4) is None


@pytest.mark.parametrize("part", ["\n", " ", "option ", "</thin", "<answer>", "<think>", "(", "a", "</think>", "<"])
def test_long_messages_are_read_in_bounded_time(part: str) -> None:
    begun = time.process_time()
    read_answer(part * (1_000_000 // len(part)), 4)
    assert time.process_time() - begun < SECONDS
