"""Nothing a policy can see depends on the answer or on the clue intervals."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from navigation import (
    Limits,
    NavigationEnvironment,
    Reply,
    answer_message,
    assistant_message,
    initial_messages,
    run,
)

CALLS = [
    ("get_caption", {"segment": [1]}), ("get_caption", {"segment": [2, 1, 1]}), ("get_caption", {"segment": [9]}),
    ("video_qa", {"segment": [2, 1, 1], "query": "line"}), ("video_qa", {"segment": [1], "query": "line"}),
]  # fmt: skip
clues = st.lists(st.tuples(st.floats(0, 270), st.floats(0, 270)).map(sorted), max_size=3)
letters = st.sampled_from("ABCD")


class Recorder:
    """Goes one fixed way and keeps a picture of all it was shown."""

    name = "recorder"

    def __init__(self, calls):
        self.calls, self.seen = calls, []

    async def reply(self, task, messages):
        self.seen.append(pickle.dumps((task, messages)))
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn < len(self.calls):
            return Reply(assistant_message("Look.", calls=[self.calls[turn]]))
        return Reply(answer_message("Enough.", "A"))


@given(st.lists(st.sampled_from(CALLS), max_size=5), letters, letters, clues, clues)
async def test_an_episode_shows_the_same_whatever_the_truth(store, make_question, calls, one, other, here, there):
    shown = []
    for answer, intervals in ((one, here), (other, there)):
        question = make_question(answer=answer, clue_intervals=intervals)
        policy, environment = Recorder(calls), NavigationEnvironment(store)
        trajectory = await run(policy, environment, question, Limits(turns=8))
        shown.append((policy.seen, trajectory.messages, trajectory.visits, environment.refusals))
        assert trajectory.correct == (answer == "A")
    assert shown[0] == shown[1]


@given(letters, letters, clues, clues)
def test_the_environment_keeps_the_video_alone(store, make_question, one, other, here, there):
    states = []
    for answer, intervals in ((one, here), (other, there)):
        question = make_question(answer=answer, clue_intervals=intervals)
        environment = NavigationEnvironment(store)
        # The whole row, as trl passes it.
        prompt = initial_messages(question, store[question.video_id])
        environment.reset(**question.to_dict(), prompt=prompt)
        texts = [environment.get_caption([1, 2, 3]), environment.video_qa([1, 2, 3], "line")]
        state = {name: value for name, value in vars(environment).items() if name != "_answerer"}
        states.append((prompt, texts, environment.visits, state, question.public))
    assert states[0] == states[1]


def test_what_a_policy_is_given_has_no_place_for_the_truth(make_question):
    assert set(make_question().public.__slots__) == {"id", "video_id", "question", "options"}
