"""A generated world of videos whose trees a model of a million parameters can learn to navigate in CPU minutes.

Each video shows four places, each place four activities, each activity four objects, one after the other, each object
with a colour. Captions name what is directly below them after its part number; a leaf names its object and colour:

    [2] park has [1] run [2] dance [3] sing [4] cook
    [2, 2] dance in park shows [1] ball [2] cup [3] hat [4] bag
    [2, 2, 1] ball in park dance is red

Question kinds: `look` (the colour of a named object), `after` and `before` (the colour of what comes right after or
before it: its words find the neighbour, not the answer). The same object turns up during other activities in other
colours, so an object's name alone does not locate it. No two videos share their order of places.
"""

import random
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from data_gen.corpora.corpus import Corpus, LazyTrees
from navigation import CaptionTree, Line, Question, SegmentPath, TimeGrid
from navigation.errors import InputError

PLACES = ("park", "beach", "street", "office", "garden", "market", "museum", "forest")
ACTIVITIES = (
    "run", "dance", "sing", "cook", "paint", "read", "swim", "climb",
    "sleep", "talk", "build", "wash", "drum", "write", "skate", "dig",
)  # fmt: skip
OBJECTS = ("ball", "cup", "hat", "bag", "lamp", "chair", "book", "kite")
COLOURS = ("red", "blue", "green", "white", "black", "pink")
GRID = TimeGrid.for_duration(1024.0)
VIDEOS = 800
QUESTIONS_PER_VIDEO = 8
TEXTS = {
    "look": "What colour is the {object} in {place} during {activity} time?",
    "after": "What colour comes after the {object} in {place} during {activity} time?",
    "before": "What colour comes before the {object} in {place} during {activity} time?",
}


@dataclass(frozen=True)
class Video:
    """One generated video: its places, the activities of each, the objects and colours of each activity."""

    id: str
    places: tuple[str, ...]
    activities: tuple[tuple[str, ...], ...]
    objects: tuple[tuple[tuple[str, ...], ...], ...]
    colours: tuple[tuple[tuple[str, ...], ...], ...]

    def tree(self) -> CaptionTree:
        captions: dict[SegmentPath, str] = {}
        lines = []
        for path in GRID.paths():
            high, rest = path[0] - 1, [child - 1 for child in path[1:]]
            place = self.places[high]
            if not rest:
                captions[path] = f"{place} has {_numbered(self.activities[high])}"
            elif len(rest) == 1:
                activity = self.activities[high][rest[0]]
                captions[path] = f"{activity} in {place} shows {_numbered(self.objects[high][rest[0]])}"
            else:
                medium, leaf = rest
                activity, thing = self.activities[high][medium], self.objects[high][medium][leaf]
                text = f"{thing} in {place} {activity} is {self.colours[high][medium][leaf]}"
                captions[path] = text
                lines.append(Line(*GRID.interval(path), text))
        return CaptionTree(self.id, GRID, captions, {"captioner": "small_world"}, tuple(lines))

    def question(self, number: int, kind: str, rng: random.Random) -> Question:
        high, medium = rng.randrange(4), rng.randrange(4)
        anchor = rng.randrange(1 if kind == "before" else 0, 3 if kind == "after" else 4)
        target = anchor + {"look": 0, "after": 1, "before": -1}[kind]
        right = self.colours[high][medium][target]
        options = [right, *rng.sample([colour for colour in COLOURS if colour != right], 3)]
        rng.shuffle(options)
        text = TEXTS[kind].format(
            place=self.places[high], activity=self.activities[high][medium], object=self.objects[high][medium][anchor]
        )
        return Question(
            id=f"{self.id}/{number}",
            video_id=self.id,
            question=text,
            options=tuple(options),
            answer="ABCD"[options.index(right)],
            clue_intervals=(GRID.interval((high + 1, medium + 1, target + 1)),),
            duration=GRID.duration,
            source="small_world",
            kind=kind,
        )


def _numbered(names: tuple[str, ...]) -> str:
    return " ".join(f"[{number}] {name}" for number, name in enumerate(names, 1))


def _video(identifier: str, places: tuple[str, ...], rng: random.Random) -> Video:
    activities = rng.sample(ACTIVITIES, 16)
    return Video(
        identifier,
        places,
        tuple(tuple(activities[4 * high : 4 * high + 4]) for high in range(4)),
        tuple(tuple(tuple(rng.sample(OBJECTS, 4)) for _ in range(4)) for _ in range(4)),
        # Colours differ within an activity, so that a neighbour's colour is a wrong answer.
        tuple(tuple(tuple(rng.sample(COLOURS, 4)) for _ in range(4)) for _ in range(4)),
    )


def load(data: Path | str | None = None, seed: int = 0, limit: int | None = None, videos: int = VIDEOS) -> Corpus:
    """Generates the world. `data` is not looked at; `limit` caps the questions.

    Raises:
        InputError: more videos than there are orders of places.
    """
    rng = random.Random(seed)
    orders = list(permutations(PLACES, 4))
    if not 1 <= videos <= len(orders):
        raise InputError("small_world", "videos", videos, f"give 1 to {len(orders)}: no two share an order of places")
    made = tuple(_video(f"small_world-{seed}-{n}", order, rng) for n, order in enumerate(rng.sample(orders, videos)))
    questions = []
    for video in made:
        seen: set[str] = set()
        while len(seen) < QUESTIONS_PER_VIDEO:
            question = video.question(len(seen), rng.choice(tuple(TEXTS)), rng)
            if question.question not in seen:
                seen.add(question.question)
                questions.append(question)
    if limit is not None and limit < len(questions):
        questions = sorted(rng.sample(questions, limit), key=lambda question: question.id)
    by_id = {video.id: video for video in made}
    asked = {question.video_id for question in questions}
    used = [video.id for video in made if video.id in asked]
    return Corpus("small_world", questions, LazyTrees(used, lambda video_id: by_id[video_id].tree()))
