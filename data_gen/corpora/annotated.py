"""From annotated videos to a corpus: the road that Goal-Step, HiREST and any other timed annotation share."""

from collections import Counter
from collections.abc import Sequence

from data_gen.corpora.actions import AnnotatedVideo
from data_gen.corpora.choice import keep
from data_gen.corpora.compose import compose
from data_gen.corpora.corpus import Corpus, LazyTrees
from data_gen.corpora.derive import derive
from data_gen.corpora.rows import Skips
from navigation import Question


def annotated_corpus(name: str, videos: Sequence[AnnotatedVideo], skips: Skips, seed: int, limit: int | None) -> Corpus:
    """Derives the questions; trees are composed when they are asked for."""
    questions: list[Question] = []
    not_derived: Counter[str] = Counter()
    for video in videos:
        made, not_made = derive(video, name, seed)
        questions.extend(made)
        not_derived.update(not_made)
    questions = keep(questions, seed, limit)
    asked = {question.video_id for question in questions}
    by_id = {video.video_id: video for video in videos if video.video_id in asked}
    trees = LazyTrees(list(by_id), lambda video_id: compose(by_id[video_id], f"{name} annotations"))
    return Corpus(name, questions, trees, skips.rows, dict(+not_derived))
