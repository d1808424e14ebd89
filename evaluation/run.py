"""One policy on one corpus folder: what `make eval` does, from the corpus to the summary."""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_gen.corpora import load_corpus, write_corpus
from data_gen.corpora.corpus import keep
from evaluation.bootstrap import LEVEL, METHOD
from evaluation.cost_model import CostModel
from evaluation.evaluate import check_questions, evaluate, judge_settings
from evaluation.meter import build_cost
from evaluation.metrics import summarise
from evaluation.paid_calls import PaidCalls
from evaluation.parity import choose_reasoning_field
from evaluation.policies import make_policy
from evaluation.policies.judge import EndpointJudge
from evaluation.result import card_hash, make_card, row_of, write_result
from evaluation.scorers import Scores, score
from navigation import (
    DEFAULT_TOOLS,
    SEARCH,
    EnvironmentFactory,
    InputError,
    Limits,
    Policy,
    Question,
    SearchSettings,
    Trajectory,
    TreeStore,
    read_jsonl,
    read_questions,
    write_json,
)
from navigation.question import held_out
from rewards import RewardMix
from rewards.judge import JudgeSettings, ModelJudge
from runtime import EndpointSettings
from runtime.endpoint import label_of

RECORD = "corpus.json"


def corpus_folder(
    name: str,
    data: str | Path | None,
    folder: str | Path,
    seed: int = 0,
    limit: int | None = None,
    open_form: bool = False,
) -> Path:
    """Writes the corpus into `folder` if it is not there yet, with what it was made from in `corpus.json`.

    Args:
        name: Corpus.
        data: Its folder as downloaded; None for a generated one.
        folder: Holds nothing else.
        seed: See `load_corpus`.
        limit: See `load_corpus`.
        open_form: See `load_corpus`.

    Returns:
        The folder, with `questions.jsonl`, and `trees/` if the corpus has captions.

    Raises:
        InputError: the folder holds another corpus, or one of which it is not known what it was made from.
    """
    folder = Path(folder)
    data_path = None if data is None else str(Path(data).resolve())
    asked: dict[str, Any] = {"corpus": name, "data": data_path, "seed": seed, "limit": limit}
    if open_form:
        asked["open"] = True
    # The questions are written last: without them what is there is a part of a corpus, and is written again.
    if (folder / "questions.jsonl").is_file():
        _check(folder, asked)
        return folder
    corpus = load_corpus(name, data, seed, limit, open_form)
    write_json(folder / RECORD, asked)
    write_corpus(corpus, folder)
    return folder


def _check(folder: Path, asked: dict[str, Any]) -> None:
    path = folder / RECORD
    other = f"give another folder of results, or remove {folder}: it is then made anew"
    if not path.is_file():
        raise InputError(path, "file", "not there", f"what these questions were made from is not known: {other}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise InputError(path, "file", str(error), other) from None
    for field, value in {"open": None, **asked}.items():
        if found.get(field) != value:
            raise InputError(path, field, found.get(field), f"{value!r} is asked for: {other}")


def write_summary(
    path: str | Path,
    policies: Mapping[str, Mapping[str, Any]],
    seconds: float,
    seed: int,
    card: Mapping[str, Any] | None = None,
    build: Mapping[str, Any] | None = None,
    scores: Scores | None = None,
    measured: float | None = None,
    unmeasured: Mapping[str, str] | None = None,
    requests: Mapping[str, Any] | None = None,
    judge: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes and returns `{"policies": {name: summary}, "seconds", "seed", "interval"}`, and what else is given.

    Args:
        path: The file.
        policies: What `metrics.summarise` made of each policy, all on the same questions.
        seconds: Wall time.
        seed: Of the policies, the draws of the intervals included.
        card: What the results depend on.
        build: What captions cost to make.
        scores: The benchmark's official figures.
        measured: Mean wall seconds of an episode on this machine.
        unmeasured: Episodes whose request failed, with the reason.
        requests: What all requests of the evaluation used, the failed ones included.
        judge: What the requests to the judge used, and its calibration.
    """
    summary = {
        "policies": dict(policies),
        "seconds": round(seconds, 3),
        "seed": seed,
        "interval": f"{100 * LEVEL:.0f} % intervals, {METHOD}",
    }
    more = {
        "card": card,
        "build": build,
        "scores": None if scores is None else asdict(scores),
        "seconds_measured": None if measured is None else round(measured, 4),
        "unmeasured": Counter(map(label_of, unmeasured.values())) if unmeasured else None,
        "requests": requests or None,
        "judge": judge or None,
    }
    summary |= {name: value for name, value in more.items() if value is not None}
    write_json(path, summary)
    return summary


def read_summary(path: str | Path) -> dict[str, Any]:
    """A summary from its file.

    Raises:
        InputError: no such file, or a file that is no summary.
    """
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, "file", str(error), "give the summary.json of a finished evaluation") from None
    if not isinstance(summary, dict) or not isinstance(summary.get("policies"), dict):
        raise InputError(path, "policies", None, "give the summary.json of a finished evaluation")
    return summary


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """A model over HTTP: where, and what decides its replies. See `PaidCalls` and `evaluation.parity`."""

    settings: EndpointSettings
    max_tokens: int = 2048
    temperature: float = 0.0
    max_usd: float | None = None
    prices: str | Path | None = None
    parity: str = "auto"
    reasoning_field: str = "auto"

    def calls(self, folder: str | Path) -> PaidCalls:
        return PaidCalls(self.settings, folder, self.max_tokens, self.temperature, self.max_usd, self.prices)


def evaluate_corpus(
    questions: str | Path,
    trees: str | Path,
    policy: str,
    out: str | Path,
    *,
    seed: int = 0,
    samples: int = 1,
    concurrency: int = 16,
    limits: Limits | None = None,
    mix: RewardMix | None = None,
    limit: int | None = None,
    held_out_share: float = 0.0,
    benchmark: str = "",
    name: str = "",
    costs: CostModel | None = None,
    endpoint: EndpointOptions | None = None,
    tools: Sequence[str] = DEFAULT_TOOLS,
    search: SearchSettings | None = None,
    judge: JudgeSettings | None = None,
    calibration: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Plays a policy on a corpus folder's questions and writes `out/summary.json` and `out/result.jsonl`.

    Can be killed and called again; what was finished is not played twice, and no reply of an endpoint is paid for
    twice.

    Args:
        questions: JSONL file of questions.
        trees: Folder of caption trees. A question's duration is its tree's.
        policy: A name of `POLICY_NAMES`.
        out: Folder of results, of this policy and these settings alone.
        seed: Of the policy and of the intervals' draws.
        samples: Attempts at each question.
        concurrency: Episodes in flight.
        limits: Of each episode.
        mix: Scores each episode; default: the default mix.
        limit: At most this many questions, chosen at random by `seed`.
        held_out_share: Only questions of the videos that this share holds out from training; 0 takes all.
        benchmark: Whose official scoring applies; default: the questions' own source.
        name: What tables call this result; default: the policy's name.
        costs: What the meter reckons with.
        endpoint: The model of `endpoint`, or the judge of a rule.
        tools: What episodes have.
        search: What a search looks at and tells.
        judge: Of answers in words that rules cannot decide; None: those are wrong.
        calibration: What `clipscout judge calibrate` found of this judge; stands beside the results.
        **options: The policy's settings, see `make_policy`.

    Returns:
        What `out/summary.json` holds. `seconds` is the wall time of the call that finished the evaluation. `unmeasured`
        counts episodes whose request failed, by reason; a call that plays them measures them.

    Raises:
        InputError: a missing file or tree, a bad option, or an `out` that holds other results.
        EvaluationStopped: the endpoint is down, the money used up or nothing could be measured; the same call goes on
            later.
    """
    store = TreeStore(trees)
    if not store.folder.is_dir():
        raise InputError(store.folder, "trees", str(trees), "give the folder of caption trees that `make traces` wrote")
    asked = _questions(Path(questions), seed, limit, held_out_share)
    factory = EnvironmentFactory.of(store, tools=tools, search=search)
    check_questions(asked, factory)
    asked = [replace(each, duration=store[each.video_id].grid.duration) for each in asked]
    if policy == "endpoint" and endpoint is None:
        raise InputError("policy endpoint", "url", None, "give --url and --model")
    begun = time.monotonic()
    limits, costs = limits or Limits(), costs or CostModel()
    fingerprint = _fingerprint(store, (question.video_id for question in asked))
    policy_options = {"name": policy, "seed": seed, **{name: str(value) for name, value in options.items()}}
    settings = {"policy_options": policy_options, "trees": {"sha256": fingerprint}, "costs": costs.to_dict()}
    card: dict[str, Any] = {}

    requests: dict[str, Any] = {}
    judging: dict[str, Any] = {"calibration": calibration} if calibration else {}
    if judge is not None and not any(question.is_open for question in asked):
        raise InputError(questions, "judge", judge.model, "leave it out: none of these questions is answered in words")

    async def play() -> tuple[Policy, list[Trajectory]]:
        if judge is None:
            return await play_under(None)
        async with ModelJudge(judge, Path(out) / "judge.jsonl") as model:
            try:
                return await play_under(model)
            finally:
                judging.update(requests=model.usage.to_dict())

    async def play_under(model: ModelJudge | None) -> tuple[Policy, list[Trajectory]]:
        paid = None if endpoint is None else await endpoint.calls(out).open()
        try:
            if endpoint is not None and paid is not None:
                if policy == "endpoint":
                    field = await choose_reasoning_field(endpoint.settings, endpoint.parity, endpoint.reasoning_field)
                    options.update(calls=paid, reasoning_field=field)
                else:
                    options["judge"] = EndpointJudge(paid)
            player = make_policy(policy, store, asked, seed, **options)
            if missing := set(player.needed_tools) - set(factory.tools):
                hint = f"pass --tools {','.join((*factory.tools, *sorted(missing)))}: this policy needs them"
                raise InputError(f"policy {policy}", "tools", ",".join(factory.tools), hint)
            if player.trained_tools not in (None, factory.tools):
                named = ",".join(player.trained_tools or ())
                raise InputError(f"policy {policy}", "tools", named, f"it was trained with these: pass --tools {named}")
            trained = player.trained_search
            if SEARCH in factory.tools and trained is not None and trained.differs(factory.search.settings):
                hint = f"it was trained with {trained}: pass {trained.flags()}"
                raise InputError(f"policy {policy}", "search", factory.search.settings, hint)
            source = benchmark or asked[0].source or "questions"
            described = {**policy_options, **player.settings}
            card.update(
                make_card(
                    source,
                    asked,
                    store,
                    described,
                    limits,
                    samples,
                    seed,
                    costs,
                    fingerprint,
                    factory.tools,
                    factory.search.settings,
                    judge_settings(asked, model).get("judge"),
                )
            )
            return player, await evaluate(
                player,
                asked,
                factory,
                limits,
                mix,
                out,
                concurrency,
                samples,
                settings={**settings, "card": card_hash(card)},
                keep_messages=False,
                costs=costs,
                judge=model,
            )
        finally:
            if paid is not None:
                requests.update(paid.usage.to_dict(), **({"notes": paid.notes} if paid.notes else {}))
                await paid.close()

    player, trajectories = asyncio.run(play())
    by_id = {question.id: question for question in asked}
    rows = [row_of(each, by_id[each.question_id], store[each.video_id].grid) for each in trajectories]
    indexed, overview = player.index_captions(asked[0].video_id) is not None, player.reads_overview
    build = build_cost(trajectories, store, costs, indexed, overview, factory.search)
    label = name or policy
    write_result(out, label, card, build, rows)
    path = Path(out) / "summary.json"
    left = Path(out) / "unmeasured.jsonl"
    unmeasured = {row["id"]: row["reason"] for _, row in read_jsonl(left)} if left.exists() else {}
    before = read_summary(path) if path.exists() else {}
    seconds = time.monotonic() - begun if "unmeasured" in before or not before else before["seconds"]
    scores = score(card["benchmark"], rows, seed)
    measured = sum(trajectory.seconds for trajectory in trajectories) / len(trajectories)
    policies = {label: summarise(trajectories, asked, seed)}
    return write_summary(path, policies, seconds, seed, card, build, scores, measured, unmeasured, requests, judging)


def _questions(path: Path, seed: int, limit: int | None, held_out_share: float) -> list[Question]:
    if not path.is_file():
        raise InputError(
            path, "questions", str(path), "give the questions.jsonl that `make questions` or `make traces` wrote"
        )
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InputError("evaluate", "limit", limit, "give a whole number of at least 1")
    questions = [
        question
        for question in read_questions(path)
        if not held_out_share or held_out(question.video_id, held_out_share)
    ]
    if not questions:
        raise InputError(path, "questions", [], "this file holds no question")
    return keep(questions, seed, limit)


def _fingerprint(store: TreeStore, video_ids: Iterable[str]) -> str:
    """A hash over the tree files of these videos: results over other captions are other results."""
    digest = hashlib.sha256()
    for video_id in sorted(set(video_ids)):
        path = store.path(video_id)
        if path.is_file():
            digest.update(
                video_id.encode("utf-8", "surrogatepass") + b"\0" + hashlib.sha256(path.read_bytes()).digest()
            )
    return digest.hexdigest()
