"""Seeded choices that depend on ids alone: other videos in the corpus, or their order, change nothing."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from navigation import LETTERS, Question

Item = TypeVar("Item")


def generator(*parts: object) -> random.Random:
    """A random generator seeded by the parts' texts; the same in every process and on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def shuffled(items: Sequence[Item], chance: random.Random) -> Iterator[Item]:
    """The items in random order, drawn one at a time: taking k of them costs O(k), not O(len)."""
    moved: dict[int, int] = {}
    for first in range(len(items)):
        other = chance.randrange(first, len(items))
        yield items[moved.get(other, other)]
        moved[other] = moved.get(first, first)


def balanced_letter(number: int, count: int, *parts: object) -> str:
    """The right letter of a group's `number`-th question (0-based): in every block of `count`, each letter once."""
    block, place = divmod(number, count)
    letters = list(LETTERS[:count])
    generator("letters", *parts, block).shuffle(letters)
    return letters[place]


def place_answer(right: str, distractors: Sequence[str], letter: str) -> tuple[str, ...]:
    """Options with the right one under `letter`."""
    position = LETTERS.index(letter)
    return (*distractors[:position], right, *distractors[position:])


def keep(questions: list[Question], seed: int, limit: int | None) -> list[Question]:
    """At most `limit` questions at random, in their old order; a smaller limit keeps part of what a larger one does."""
    if limit is None or len(questions) <= limit:
        return questions
    ranked = sorted(questions, key=lambda question: (generator("limit", seed, question.id).random(), question.id))
    chosen = {question.id for question in ranked[:limit]}
    return [question for question in questions if question.id in chosen]
