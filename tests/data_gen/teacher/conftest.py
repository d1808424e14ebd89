"""A small corpus folder and a rule policy served over HTTP."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.teacher_server import Manners, TeacherServer
from data_gen.corpora import write_corpus
from data_gen.corpora.small_world import load
from data_gen.teacher import Pace, TeacherJob, TeacherSettings
from navigation import Question, TreeStore, read_questions
from runtime import EndpointSettings


@dataclass
class World:
    folder: Path
    questions: list[Question]

    @property
    def trees(self) -> TreeStore:
        return TreeStore(self.folder / "trees")

    def job(self, url: str, in_flight: int = 8, tasks: int = 1, max_usd: float | None = None, **settings) -> TeacherJob:
        endpoint = EndpointSettings(url, "gpt-4o-mini", in_flight, timeout=10, first_wait=0.01, longest_wait=0.05)
        teacher = TeacherSettings("gpt-4o-mini", **settings)
        return TeacherJob(self.folder, teacher, endpoint, tasks, max_usd=max_usd, pace=Pace(in_flight, 2 * in_flight))

    @asynccontextmanager
    async def served(self, manners: Manners | None = None, **options):
        stub = TeacherServer(self.questions, self.trees, manners=manners, **options)
        try:
            yield stub, await stub.start()
        finally:
            await stub.close()


@pytest.fixture
def world(tmp_path) -> World:
    folder = tmp_path / "world"
    write_corpus(load(seed=3, videos=4, limit=24), folder)
    return World(folder, list(read_questions(folder / "questions.jsonl")))
