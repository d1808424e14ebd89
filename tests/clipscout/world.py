"""One house, filmed for 270 seconds, and questions about it."""

from evaluation.policies import make_policy
from navigation import CaptionTree, EnvironmentFactory, Limits, Line, Question, TimeGrid, run
from rewards import RewardMix

ROOMS = ("kitchen", "garden", "garage")
DEEDS = (
    "chops onions", "boils water", "stirs soup", "plants roses", "waters tomatoes", "rakes leaves", "paints fence",
    "fixes bicycle", "welds frame",
)  # fmt: skip


def house_tree(video_id="house", say=lambda text: text):
    """270 s, 27 leaves of 10 s. Leaf i tells deed i // 3 and a number of its own; `say` may change every text."""
    grid = TimeGrid(270.0, 3, 3)
    captions = {}
    for path in grid.paths():
        first = grid.index(path) * 3 ** (3 - len(path))
        deed = DEEDS[first // 3]
        work = ", ".join(DEEDS[3 * path[0] - 3 : 3 * path[0]])
        texts = (
            f"work in the {ROOMS[path[0] - 1]}: {work}",
            f"someone {deed}",
            f"someone {deed}; object number{first}",
        )
        captions[path] = say(texts[len(path) - 1])
    lines = tuple(Line(10.0 * leaf, 10.0 * leaf + 5, say(f"spoken {leaf}")) for leaf in range(27))
    return CaptionTree(video_id, grid, captions, {"captioner": say("hand")}, lines)


def house_questions(say=lambda text: text, count=6):
    """One question a deed, its clue that deed's three leaves."""
    questions = []
    for number in range(count):
        options = tuple(say(f"number{(3 * number + other) % 27}") for other in (0, 9, 14, 20))
        questions.append(
            Question(
                say(f"house/{number}"), "house", say(f"Which object is there while someone {DEEDS[number]}?"), options,
                "A", ((30.0 * number, 30.0 * number + 30.0),), 270.0, "house", say("what" if number % 2 else "which"),
            )
        )  # fmt: skip
    return questions


async def play(policy_name, questions, trees, **options):
    """Trajectories of a rule with their rewards."""
    policy = make_policy(policy_name, trees, questions, **options)
    environment, mix = EnvironmentFactory(trees)(), RewardMix()
    trajectories = []
    for question in questions:
        trajectory = await run(policy, environment, question, Limits(turns=15))
        grid = trees[question.video_id].grid
        trajectory.reward = mix.score(
            question, grid, trajectory.visits, trajectory.status, trajectory.prediction, trajectory.refused
        ).to_dict()
        trajectories.append(trajectory)
    return trajectories
