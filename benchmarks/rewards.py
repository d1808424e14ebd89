"""Episodes scored per second on one core: the mix with each measure, and the released score of the same episodes.

    python -m benchmarks.rewards [--episodes 2000] [--rounds 7]

Every round scores the same episodes with every scorer in turn, so that a busy machine slows all of them alike. Rates
are per second of this process's CPU time, one core. What is known of a question is forgotten before every round, and 16
rollouts of it follow each other, as in GRPO.
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import show
from navigation import GET_CAPTION, VIDEO_QA, Question, Status, TimeGrid, Visit
from rewards import RewardMix, clue_time, official_score
from rewards.visits import places_of

ROLLOUTS = 16


@dataclass(frozen=True, slots=True)
class Episode:
    question: Question
    grid: TimeGrid
    visits: list[Visit]
    prediction: str
    text: str


def episodes(count: int, seed: int = 0) -> list[Episode]:
    """Seeded episodes in the published shape: width 6 and depth 3, 3 to 18 visits, some of them repeated."""
    rng = random.Random(seed)
    grid = TimeGrid(3600.0, 6, 3)
    made: list[Episode] = []
    while len(made) < count:
        clues = []
        for _ in range(rng.randint(1, 3)):
            begin = round(rng.uniform(0, 3500), 1)
            clues.append((begin, round(begin + rng.uniform(2, 60), 1)))
        question = Question(f"q{len(made)}", "v", "?", ("a", "b", "c", "d"), "B", tuple(clues), 3600.0)
        for _ in range(min(ROLLOUTS, count - len(made))):
            visits: list[Visit] = []
            for _ in range(rng.randint(3, 18)):
                path = tuple(rng.randint(1, 6) for _ in range(rng.choice((2, 2, 3, 3, 3))))
                visits.append(rng.choice(visits) if visits and rng.random() < 0.1 else Visit(GET_CAPTION, path))
                if len(path) == 3 and rng.random() < 0.1:
                    visits.append(Visit(VIDEO_QA, path, "what colour is it?"))
            prediction = rng.choice("AB")
            made.append(Episode(question, grid, visits, prediction, _tagged(visits, prediction)))
    return made


def _tagged(visits: list[Visit], prediction: str) -> str:
    """The transcript that the released score reads: reasoning of some 60 words before each call."""
    thought = "<think>" + "The caption speaks of the kitchen, so the next part may show it. " * 5 + "</think>\n"
    calls = (
        f"<tool>video_qa({visit.path}, {visit.query!r})</tool>\n"
        if visit.tool == VIDEO_QA
        else f"<tool>get_caption({visit.path})</tool>\n"
        for visit in visits
    )
    return "".join(thought + call for call in calls) + f"{thought}<answer>{prediction}</answer>"


def scorer(mix: RewardMix) -> Callable[[Episode], object]:
    def score(episode: Episode) -> object:
        return mix.score(episode.question, episode.grid, episode.visits, Status.ANSWERED, episode.prediction, 0)

    return score


def official(episode: Episode) -> object:
    question = episode.question
    return official_score(episode.text, question.answer, question.clue_intervals, episode.grid.width, question.duration)


def rate(score: Callable[[Episode], object], made: list[Episode]) -> float:
    """Episodes per CPU second."""
    clue_time.cache_clear()
    places_of.cache_clear()
    begun = time.process_time()
    for episode in made:
        score(episode)
    return len(made) / (time.process_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    made = episodes(options.episodes)
    default, interval = RewardMix.from_config(), RewardMix.from_config({"grounding": {"measure": "interval_f1"}})
    scorers = {
        "mix, navigation_f1": scorer(default),
        "mix, interval_f1": scorer(interval),
        "official_score": official,
    }
    rates: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(options.rounds):
        for name, score in scorers.items():
            rates[name].append(rate(score, made))
    baseline = median(rates["official_score"])
    rows = []
    for name, values in rates.items():
        middle = median(values)
        counts = [f"{rate:,.0f}" for rate in (middle, min(values), max(values))]
        rows.append([name, *counts, f"{1e6 / middle:.1f}", f"{middle / baseline:.1f}"])
    columns = ("scorer", "episodes/s a core", "least", "most", "microseconds", "times official")
    show(f"{len(made)} episodes, median of {options.rounds} rounds", columns, rows, width=120)


if __name__ == "__main__":
    main()
