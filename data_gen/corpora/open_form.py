"""The open form of a corpus: options withheld, the right one's text as reference."""

import re
from collections.abc import Iterable
from dataclasses import replace

from data_gen.corpora.corpus import Corpus, LazyTrees
from navigation import LETTERS, Question, SkippedRow

_OF_OPTIONS = re.compile(
    r"\bwhich (?:one )?of (?:the|these|those|following|them)\b|\bthe following\b|\bfollowing (?:options|statements)\b"
    r"|\b(?:options?|choices?|statements?) (?:below|above|is|are|best|most|correctly|that)\b"
    r"|\bwhich (?:option|choice)\b"
    r"|\bis (?:not|incorrect|false)\?$|\bwhich is (?:correct|incorrect|true|false)\b|\b(?:except|cannot be inferred)\b",
    re.IGNORECASE,
)
_OF_OTHERS = re.compile(
    r"\b(?:all|none|both|neither|either|any) (?:of )?(?:the )?(?:above|these|those|options|them|others)\b"
    r"|^(?:both|neither|options?)\W+(?:options? )?\(?[A-Z]\)?\W+(?:and|or|nor)\W+\(?[A-Z]\)?\W*$"
    r"|^[①-⑳\W]+$|^[\dA-Z](?:[→>,\- ]+[\dA-Z])+$"
    r"|\bnot (?:mentioned|given|shown|among)\b",
    re.IGNORECASE,
)


def opened(corpus: Corpus) -> Corpus:
    """The corpus with each question in its open form; ids end in `/open`, so that a set may mix both forms.

    Left out, with the reason, are questions that speak of their options ("which of the following") and answers that
    speak of others ("none of the above"): without options nobody could answer them. Questions that are open by nature
    stay as they are.
    """
    kept: list[Question] = []
    skipped = list(corpus.skipped)
    for question in corpus.questions:
        if question.is_open:
            kept.append(question)
            continue
        reference = question.options[LETTERS.index(question.answer)]
        reason = ""
        if _OF_OPTIONS.search(question.question):
            reason = "the question speaks of its options"
        elif _OF_OTHERS.search(reference) or not reference.strip():
            reason = "the answer speaks of other options"
        if reason:
            skipped.append(SkippedRow(question.id, reason, reference))
            continue
        kept.append(
            replace(
                question,
                id=f"{question.id}/open",
                options=(),
                answer="",
                references=question.references or (reference.strip(),),
            )
        )
    return replace(corpus, questions=kept, skipped=skipped, trees=_of_videos(corpus, kept))


def _of_videos(corpus: Corpus, kept: Iterable[Question]) -> Iterable:
    """The trees of those videos that still have a question."""
    trees = corpus.trees
    if not isinstance(trees, LazyTrees):
        return trees
    asked = {question.video_id for question in kept}
    return LazyTrees([video for video in trees.video_ids if video in asked], trees.compose)
