from data_gen.corpora import write_corpus
from data_gen.corpora.small_world import load
from data_gen.expert import Expert
from data_gen.filters import keep_sometimes_solved, pass_rates
from navigation import Limits, TreeStore, answer_message, read_questions
from navigation.policy import Reply


class Sometimes:
    """Answers rightly on every second sample of even questions, always on odd ones; fails on the last question."""

    name = "sometimes"

    def __init__(self, questions):
        self.questions = {question.id: (number, question) for number, question in enumerate(questions)}

    async def reply(self, task, messages):
        number, question = self.questions[task.question.id]
        if number == len(self.questions) - 1:
            raise RuntimeError("gone")
        right = number % 2 or task.sample % 2
        wrong = "A" if question.answer != "A" else "B"
        return Reply(answer_message("So.", question.answer if right else wrong))


async def test_rates_count_right_answers_and_leave_out_what_failed(tmp_path):
    write_corpus(load(seed=1, videos=2, limit=6), tmp_path)
    questions = list(read_questions(tmp_path / "questions.jsonl"))
    trees = TreeStore(tmp_path / "trees")
    rates = await pass_rates(Sometimes(questions), questions, trees, samples=4, in_flight=3)
    assert [rates.get(question.id) for question in questions] == [0.5, 1.0, 0.5, 1.0, 0.5, None]
    rows = keep_sometimes_solved([{"id": question.id} for question in questions], rates)
    assert rows == [{"id": questions[number].id, "pass_rate": 0.5} for number in (0, 2, 4)]


async def test_a_policy_that_walks_solves_all(tmp_path):
    write_corpus(load(seed=1, videos=2, limit=4), tmp_path)
    questions = list(read_questions(tmp_path / "questions.jsonl"))
    trees = TreeStore(tmp_path / "trees")
    rates = await pass_rates(Expert(questions), questions, trees, samples=2, limits=Limits(turns=30))
    assert set(rates.values()) == {1.0}
    assert keep_sometimes_solved([{"id": question.id} for question in questions], rates) == []
