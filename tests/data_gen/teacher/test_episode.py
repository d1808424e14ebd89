import pytest

from data_gen.teacher import HintSettings, TeacherSettings, TerminationReason
from data_gen.teacher.episode import TeacherEpisode
from navigation import Limits, NavigationEnvironment, Status, run
from runtime import EndpointFailed, Filtered, OutOfContext, Usage
from runtime.paid_calls import Stopped

OPEN = "<think>look</think><tool>get_caption([1, 1])</tool>"


class Script:
    """Replies in a row, in place of the endpoint; remembers what it was sent."""

    def __init__(self, *replies, tokens=10, usd=0.01):
        self.replies, self.tokens, self.usd = list(replies), tokens, usd
        self.sent, self.keys = [], []

    async def chat(self, key, messages, max_tokens, **parameters):
        self.sent.append([dict(message) for message in messages])
        self.keys.append(key)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        usage = Usage(requests=1, prompt_tokens=100, completion_tokens=self.tokens, usd=self.usd)
        return {"content": reply, "reasoning": "", "finish_reason": "stop"}, usage


def answer(letter):
    return f"<think>so</think><answer>{letter}</answer>"


def wrong(question):
    return next(letter for letter in "ABCD" if letter != question.answer)


async def play(world, script, **settings):
    question = world.questions[0]
    teacher = TeacherSettings("m", **settings)
    episode = TeacherEpisode(question, teacher, script)
    limits = Limits(turns=teacher.rounds + 1)
    trajectory = await run(episode, NavigationEnvironment(world.trees), question, limits)
    return episode, episode.complete(trajectory)


async def test_a_wrong_answer_brings_a_hint_that_the_saved_messages_do_not_hold(world):
    question = world.questions[0]
    script = Script(OPEN, answer(wrong(question)), OPEN.replace("1, 1", "1, 2"), answer(question.answer))
    episode, trajectory = await play(world, script)
    assert (episode.termination, trajectory.correct, trajectory.teacher["hints"]) == (TerminationReason.RIGHT, True, 1)
    assert "is wrong. Look at segment" in script.sent[2][-1]["content"]
    saved = str(trajectory.messages)
    assert "is wrong" not in saved
    assert f"<answer>{wrong(question)}" not in saved
    assert [message["role"] for message in trajectory.messages] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert trajectory.turns == 3
    assert trajectory.completion_tokens == 40


async def test_the_saved_prompt_is_the_one_all_policies_get(world):
    from navigation import initial_messages

    question = world.questions[0]
    _, trajectory = await play(world, Script(answer(question.answer)))
    assert trajectory.messages[:2] == initial_messages(question, world.trees[question.video_id])
    assert "<tool>" not in trajectory.messages[0]["content"]


async def test_after_the_last_hint_a_wrong_answer_is_kept_as_wrong(world):
    letter = wrong(world.questions[0])
    episode, trajectory = await play(world, Script(*[answer(letter)] * 5))
    assert (episode.termination, trajectory.correct, trajectory.status) == (
        TerminationReason.WRONG,
        False,
        Status.ANSWERED,
    )
    assert trajectory.teacher["hints"] == 4
    episode, _ = await play(world, Script(answer(letter)), hints=HintSettings(0, False))
    assert (episode.termination, episode.hints_given) == (TerminationReason.WRONG, 0)


async def test_malformed_replies_are_corrected_and_limited(world):
    question = world.questions[0]
    script = Script("hm", "<tool>fly()</tool>", OPEN, "hm", "hm", answer(question.answer))
    episode, trajectory = await play(world, script)
    assert (episode.termination, trajectory.teacher["malformed"]) == (TerminationReason.RIGHT, 4)
    assert "could not be read" in script.sent[1][-1]["content"]
    assert "could not be read" not in str(trajectory.messages)
    episode, trajectory = await play(world, Script(OPEN, "hm", "hm", "hm"))
    assert (episode.termination, trajectory.status) == (TerminationReason.MALFORMED, Status.UNPARSABLE)


async def test_two_calls_in_one_reply_run_and_save_the_first(world):
    question = world.questions[0]
    double = OPEN + "<tool>get_caption([2, 2])</tool>"
    script = Script(double, answer(question.answer))
    _, trajectory = await play(world, script)
    assert [visit.path for visit in trajectory.visits] == [(1, 1)]
    assert "2, 2" not in str([message for message in trajectory.messages if message["role"] == "assistant"])
    assert script.sent[1][-2]["content"] == OPEN
    assert trajectory.teacher["dropped_calls"] == 1


async def test_an_id_out_of_range_is_told_and_the_episode_goes_on(world):
    question = world.questions[0]
    _, trajectory = await play(world, Script(OPEN.replace("1, 1", "99"), answer(question.answer)))
    assert (trajectory.refused, trajectory.correct) == (1, True)


async def test_every_limit_has_its_own_end(world):
    for settings, end, status in (
        ({"rounds": 3}, TerminationReason.OUT_OF_ROUNDS, Status.OUT_OF_TURNS),
        ({"tokens": 20}, TerminationReason.OUT_OF_TOKENS, Status.OUT_OF_TOKENS),
        ({"usd": 0.02}, TerminationReason.BUDGET_EXCEEDED, Status.FAILED),
    ):
        script = Script(*[OPEN] * 5)
        episode, trajectory = await play(world, script, **settings)
        assert (episode.termination, trajectory.status, trajectory.prediction) == (end, status, None)
        assert len(script.sent) == (3 if "rounds" in settings else 2)


async def test_a_failed_request_ends_the_episode_with_its_reason(world):
    failure = EndpointFailed("HTTP 400: too long", 1, Usage(requests=1, usd=0.5))
    episode, trajectory = await play(world, Script(OPEN, failure))
    assert (episode.termination, trajectory.status, trajectory.error) == (
        TerminationReason.FAILED,
        Status.FAILED,
        "HTTP 400: too long",
    )
    assert trajectory.teacher["usd"] == 0.51
    with pytest.raises(Stopped):
        await play(world, Script(OPEN, Stopped("no money")))


@pytest.mark.parametrize(
    ("error", "status"), [(Filtered, Status.FILTERED), (OutOfContext, Status.OUT_OF_TOKENS)], ids=["filtered", "long"]
)
async def test_a_refusal_for_content_or_length_ends_the_episode_in_its_own_way(world, error, status):
    episode, trajectory = await play(world, Script(OPEN, error("no", 1, Usage(requests=1))))
    assert (trajectory.status, trajectory.prediction, episode.termination) == (status, None, status.value)


async def test_keys_differ_by_round_and_transcript_and_repeat_in_a_second_run(world):
    question = world.questions[0]
    first, second = Script(OPEN, answer(question.answer)), Script(OPEN, answer(question.answer))
    await play(world, first)
    await play(world, second)
    assert first.keys == second.keys
    other = Script(OPEN.replace("look", "see"), answer(question.answer))
    await play(world, other)
    assert other.keys[0] == first.keys[0]
    assert other.keys[1] != first.keys[1]
