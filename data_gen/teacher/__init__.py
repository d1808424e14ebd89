"""Trajectories from any LLM behind an OpenAI-compatible endpoint: hinted after wrong answers, resumable, paid for once.

job = TeacherJob(out, TeacherSettings(model="…"), EndpointSettings("http://localhost:8000/v1", "…"))
report = run_ranks(job)            # out/questions.jsonl and out/trees -> out/trajectories.jsonl, out/failed.jsonl
"""

from data_gen.teacher.episode import TerminationReason
from data_gen.teacher.run import Pace, RunReport
from data_gen.teacher.settings import HintSettings, TeacherSettings
from data_gen.teacher.stage import TeacherJob
from navigation import read_trajectories

__all__ = [
    "HintSettings",
    "Pace",
    "RunReport",
    "TeacherJob",
    "TeacherSettings",
    "TerminationReason",
    "read_trajectories",
]
