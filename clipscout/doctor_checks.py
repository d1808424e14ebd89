"""What a planned run needs besides the machine: endpoints, checkpoints, room for new ones, a folder that all share."""

import asyncio
import email.utils
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import yaml

from navigation import InputError, write_json
from trainer.preflight import meant_as_folder


class Finding(NamedTuple):
    """One thing looked at. `level` is ok, note, fix or broken."""

    level: str
    what: str
    found: str
    hint: str = ""


SECONDS = 5.0
MOST_SKEW = 2.0
"""Seconds that clocks may differ: more makes locks, journals and `make` look at wrong times."""
SEEN_WITHIN = 600.0
MARK = ".clipscout-doctor"
DEEPSPEED = {"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 3}}


def shown_address(url: str) -> str:
    """An address without what could be a key: user, password and the query's values."""
    try:
        parts = urlsplit(url)
        query = "&".join(f"{name}=…" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
    except ValueError:  # a bracket that is not closed
        return url.partition("?")[0].rpartition("@")[2]


def endpoint(url: str, models: Sequence[str]) -> Iterator[Finding]:
    """Whether an OpenAI-compatible endpoint answers, what it serves, and whether its clock is ours."""
    from runtime.fetch import Unreachable, fetch  # commands that ask no server load no HTTP client

    shown = shown_address(url)
    what = f"endpoint {shown}"
    if not url.startswith(("http://", "https://")):
        yield Finding("fix", what, "no address", "give http://host:port/v1")
        return
    if shown != url:
        hint = "give http://host:port/v1 alone, and the key in OPENAI_API_KEY: addresses are written to logs"
        yield Finding("fix", what, "a user, a key or a query in the address", hint)
        return
    try:
        answer = fetch(url.rstrip("/") + "/models", SECONDS, with_key=True)
        if answer.status >= 300:
            hint = "set OPENAI_API_KEY" if answer.status in (401, 403) else "give the address with /v1 at its end"
            yield Finding("fix", what, f"answers {answer.status} to /models", hint)
            return
        served = [str(each["id"]) for each in answer.json()["data"]]
    except (Unreachable, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = getattr(error, "reason", error)
        yield Finding("fix", what, f"no list of models: {str(reason)[:200]}", "start the server, or fix the address")
        return
    listed = ", ".join(served[:20]) or "nothing"
    missing = [model for model in models if model not in served]
    hint = f"it does not serve {', '.join(missing)}: take a name from its list, or start it with --served-model-name"
    yield Finding("fix" if missing else "ok", what, f"serves {listed}", hint)
    if date := answer.headers.get("Date"):
        try:
            theirs = email.utils.parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            yield Finding("note", f"clock of {shown}", f"its Date header is no date: {date[:80]}", "compare it by hand")
        else:
            yield _skew(f"clock of {shown}", theirs - time.time(), whole=True)
    if served and not missing:
        yield prompts(url, models[0] if models else served[0])


def prompts(url: str, model: str) -> Finding:
    """Whether a server renders what ClipScout trains on. A model trained elsewhere need not: a note, not a fault."""
    from evaluation.parity import check_parity
    from runtime import EndpointSettings

    found = asyncio.run(check_parity(EndpointSettings(url, model)))
    hint = "serve the checkpoint under its own chat template, with nothing added"
    return Finding("ok" if found.same else "note", f"prompts of {model}", str(found), hint)


def checkpoint(folder: Path) -> Iterator[Finding]:
    """Whether a checkpoint's weights, tokenizer and chat template are there and the template is the one we render."""
    from navigation.prompt import chat_template, template_hash

    what = f"checkpoint {folder}"
    if not folder.is_dir():
        yield Finding("fix", what, "no such folder", "give a folder that a training run wrote, or that was downloaded")
        return
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    hint = "only safetensors are loaded: convert the weights, or take the checkpoint from its source again"
    yield Finding("ok" if weights else "fix", what, f"{len(weights)} files of weights", hint)
    pickles = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pkl") for path in folder.glob(suffix))
    if pickles:
        yield Finding("note", what, f"pickles: {', '.join(pickles)}", "they are never loaded; do not publish them")
    found, ours = _template(folder), template_hash(chat_template())
    trained = _json(folder / "clipscout.json").get("chat_template")
    if found is None:
        yield Finding("fix", f"{what}: template", "none", "save the tokenizer beside the weights")
        return
    shown = f"{template_hash(found)}, trained under {trained or 'unknown'}, ours {ours}"
    if trained is not None and trained != ours:
        yield Finding("fix", f"{what}: template", shown, "use the ClipScout that trained it, or train it again")
    elif template_hash(found) != ours:
        hint = "ClipScout's own template is put on it when it is loaded; a server must be given it with --chat-template"
        yield Finding("note", f"{what}: template", shown, hint)
    else:
        yield Finding("ok", f"{what}: template", shown)


def planned_checkpoints(config: Path, launch: Path | None = None) -> Iterator[Finding]:
    """Whether the disk of a training config's output folder holds the checkpoints it will keep.

    Args:
        launch: The run's launch file, which says who writes what; default: DeepSpeed's, which are the largest.
    """
    what = f"room for {config.name}"
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
        output, name = Path(values["output_dir"]), str(values["model_name_or_path"])
        launched = yaml.safe_load(launch.read_text(encoding="utf-8")) if launch is not None else DEEPSPEED
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        hint = "give a config of configs/sft or configs/grpo, and a launch file of launch/accelerate"
        yield Finding("fix", what, f"cannot be read: {error}", hint)
        return
    if meant_as_folder(name) and not Path(name).is_dir():
        hint = "run the stage that makes it first, or give another model_name_or_path"
        yield Finding("fix", what, f"{name}: no such folder", hint)
        return
    try:
        each = checkpoint_bytes(name, values, launched)
    except (InputError, OSError, ValueError, KeyError) as error:
        hint = "give model_name_or_path a folder, or fetch the model first"
        yield Finding("note", what, f"size of {name} unknown: {str(error)[:200]}", hint)
        return
    there = next(path for path in (output.resolve(), *output.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    size = f"{'' if launch is not None else 'at most '}{each / 1e9:.2f} GB"
    limit = values.get("save_total_limit")
    if limit is None:
        shown = f"every checkpoint is kept, each {size}: {free / 1e9:.0f} GB free at {there} hold {free // each:.0f}"
        yield Finding("note", what, shown, "set save_total_limit")
        return
    # The best one is kept beside the newest; one is being written, and the final model comes last.
    kept = max(limit, 2 if values.get("load_best_model_at_end") else 1) + 2
    hint = "make room, give another output_dir, or a lower save_total_limit"
    shown = f"{kept} x {size}, {free / 1e9:.0f} GB free at {there}"
    yield Finding("ok" if free > kept * each else "fix", what, shown, hint)


def checkpoint_bytes(name: str, values: dict[str, Any], launch: dict[str, Any]) -> float:
    """Bytes of one checkpoint: weights, and the optimizer's states at the precision that is written."""
    from transformers import AutoConfig

    from trainer.estimate import memory, planned_setup

    model = AutoConfig.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    setup = planned_setup(values, launch, devices=1)
    found = memory(model, replace(setup, tokens=1))
    if setup.adapter is not None:
        return found.optimizer + found.gradients  # as many as the adapter's own weights
    # FSDP2 writes its shards beside the whole model.
    return found.optimizer + found.weights * (2 if setup.engine == "fsdp2" else 1)


def shared_folder(folder: Path) -> Iterator[Finding]:
    """Whether a folder can be written, locked and renamed in; which machines did so lately; whose clock is off.

    Run it on every machine at the same time, for example `srun -N4 clipscout doctor --shared runs`.
    """
    what, host = f"shared {folder}", socket.gethostname()
    place = folder / MARK
    mark = place / f"{host}.json"
    if place.is_symlink():
        yield Finding("fix", what, f"{MARK} is a symbolic link", "delete it: somebody else may have put it there")
        return
    try:
        place.mkdir(parents=True)
        place.chmod(0o1777)  # as /tmp: every user puts a mark there, none touches another's
    except FileExistsError:
        pass
    except PermissionError:
        yield Finding("fix", what, "cannot be written", f"give {os.getuid()} the right to write there")
        return
    except OSError as error:
        yield Finding("fix", what, f"cannot be written: {error.strerror}", "give a folder that exists and is mounted")
        return
    try:
        from runtime.lock import RunLock

        with RunLock(place / f"{host}.lock", "doctor"):
            begun = time.time()
            write_json(mark, {"host": host, "time": begun})
            written, ended = mark.stat().st_mtime, time.time()
            seen = [_json(path) for path in place.glob("*.json")]
    except (OSError, InputError) as error:
        yield Finding("fix", what, f"cannot be written or locked: {error}", "mount it with rights and with file locks")
        return
    hosts = sorted(str(each.get("host")) for each in seen if time.time() - _number(each.get("time")) < SEEN_WITHIN)
    yield Finding("ok", what, f"written, locked and renamed in from {', '.join(hosts)}")
    # The server's time of writing lies between ours before and after it, or its clock is off.
    yield _skew(f"clock of {folder}", min(0.0, written - begun) or max(0.0, written - ended))


def _number(value: object) -> float:
    """A number of a file that others write; what is none is long ago."""
    return float(value) if isinstance(value, (int, float)) else 0.0


def _skew(what: str, seconds: float, whole: bool = False) -> Finding:
    """`whole`: the other clock was read in whole seconds, cut."""
    off = max(0.0, abs(seconds + (0.5 if whole else 0)) - (0.5 if whole else 0))
    shown = f"{off:.1f} s from ours" if off >= 0.05 else "as ours"
    return Finding("ok" if off <= MOST_SKEW else "fix", what, shown, "set both clocks: chronyd or systemd-timesyncd")


def _template(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    found = _json(folder / "tokenizer_config.json").get("chat_template")
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


ROOT = Path(__file__).parents[1]
SHAPE = ROOT / "configs" / "model" / "qwen3_8b_random.yaml"
PRESETS = {"qwen3_8b_full_zero3": "node_zero3", "qwen3_8b_lora_1gpu": "gpu"}
"""Presets and their launch files."""
TRAJECTORIES, TRAJECTORY_TOKENS = 33_000, 6_500
"""The published set and the mean trajectory, as docs/scaling.md has them."""


def sft_memory() -> Iterator[Finding]:
    """Estimates for full fine-tuning sharded over the GPUs here (eight where there are fewer), and for an adapter."""
    import torch

    from trainer.estimate import GIB, memory, model_config, planned_setup, time

    if not SHAPE.is_file():  # installed without the repository's configs
        return
    model = model_config(str(SHAPE))
    here = torch.cuda.device_count()
    room = min((torch.cuda.mem_get_info(index)[1] / GIB for index in range(here)), default=None)
    for preset, launch in PRESETS.items():
        config = yaml.safe_load((ROOT / "configs" / "sft" / f"{preset}.yaml").read_text(encoding="utf-8"))
        launched = yaml.safe_load((ROOT / "launch" / "accelerate" / f"{launch}.yaml").read_text(encoding="utf-8"))
        setup = planned_setup(config, launched, max(here, 8) if launched["num_processes"] > 1 else 1)
        needed = memory(model, setup).total / GIB
        tokens = TRAJECTORIES * TRAJECTORY_TOKENS * config["num_train_epochs"]
        shown = (
            f"{needed:.0f} GiB a device at {setup.tokens:,} tokens, before the allocator's own overhead; "
            f"{TRAJECTORIES:,} trajectories, {config['num_train_epochs']} epochs: "
            f"{time(model, setup, tokens, TRAJECTORY_TOKENS)}"
        )
        fits = room is None or needed < 0.9 * room
        hint = "shorter max_length, more devices, an adapter, or load_in_4bit: see docs/sft.md"
        yield Finding("ok" if fits else "note", f"SFT by {preset}", shown, hint)
