"""What a training run needs of its surroundings, looked at before anything is loaded: each refusal is one line.

Without these looks the same runs end in a traceback, minutes later, or wait for ever.
"""

import configparser
import importlib.metadata
import importlib.util
import math
import netrc
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from navigation import InputError

LEAST_DATASETS = (4, 7)
"""Before it `datasets` knows no Json column, which tool arguments need."""
RANK_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
TRACKERS = {"wandb": "wandb", "tensorboard": "tensorboard"}
"""Names of `report_to` and the packages that they need."""
HUB_SECONDS = 10.0
SMALL_BASE = "`clipscout tiny-base --data FOLDER --out runs/base` makes a small one of a folder's words, for a dry run"


def check_surroundings(environ: Mapping[str, str] = os.environ) -> None:
    """Raises for what would stop any training: ranks of another launch, packages that cannot read our files.

    Raises:
        InputError: the variable or package, and what to do about it.
    """
    check_ranks(environ)
    version = importlib.metadata.version("datasets")
    if tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:2]) < LEAST_DATASETS:
        hint = "pip install 'datasets>=5.0': older ones cannot read the Json columns of our Parquet files"
        raise InputError("environment", "datasets", version, hint)


def check_held_out(training: Any, rows: int) -> None:
    """Raises for a run that is to be evaluated on nothing.

    Args:
        training: trl's options.
        rows: Held-out rows.

    Raises:
        InputError: `eval_strategy`, or `eval_on_start`.
    """
    strategy = str(getattr(training.eval_strategy, "value", training.eval_strategy))
    for name, value, off in (("eval_strategy", strategy, "no"), ("eval_on_start", training.eval_on_start, False)):
        if not rows and value != off:
            hint = f"nothing is held out to evaluate on: raise held_out_share, or set {name} to {str(off).lower()}"
            raise InputError("config", name, value, hint)


def check_run(data: Any, training: Any, model: Any) -> None:
    """Raises for what a run asks for and will not find: its data, its trackers, its model, room for its steps.

    Args:
        data: The stage's own options.
        training: trl's options.
        model: trl's `ModelConfig`.

    Raises:
        InputError: the first of them.
    """
    from trainer.checkpoint import model_name

    if not Path(data.data).is_dir():
        raise InputError("config", "data", data.data, "no such folder: make it with `make traces` or `make dataset`")
    if data.trees is not None and not Path(data.trees).is_dir():
        raise InputError("config", "trees", data.trees, "no such folder: give that of the caption trees")
    check_tracking(training.report_to)
    name = model_name(model)
    check_model(name, model.model_revision)
    check_precision(training, model, name)


def check_ranks(environ: Mapping[str, str] = os.environ, alone: bool = False) -> None:
    """Raises for variables of a distributed launch in a process that no launcher started as a rank.

    Such a process would wait for ranks that nobody starts.

    Args:
        environ: The environment.
        alone: Whether this process is about to launch a single one: then none of them may be set for several.

    Raises:
        InputError: the variable that is left over, or missing.
    """
    numbers = {}
    for name in RANK_VARIABLES[:3]:
        try:
            numbers[name] = int(environ.get(name) or -1)
        except ValueError:
            raise InputError("environment", name, environ[name], f"give a whole number, or unset {name}") from None
    world, rank, local = (numbers[name] for name in RANK_VARIABLES[:3])
    if world <= 1 and local < 0:
        return
    left = " ".join(name for name in RANK_VARIABLES if environ.get(name))
    fix = f"unset {left}"
    if alone:
        if world > 1:
            raise InputError("environment", "WORLD_SIZE", world, f"{fix}: one process is launched, and would wait")
        return
    missing = [name for name in RANK_VARIABLES if not environ.get(name)]
    if missing:
        name, found = ("WORLD_SIZE", world) if world > 1 else ("LOCAL_RANK", local)
        hint = f"{fix}, or launch by accelerate or torchrun: {', '.join(missing)} is not set, so it is of another run"
        raise InputError("environment", name, found, hint)
    if rank >= world:
        raise InputError("environment", "RANK", rank, f"{fix}: WORLD_SIZE is {world}")


def check_tracking(report_to: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
    """Raises where a tracker is not installed, or W&B is to be sent to and nobody is logged in.

    Raises:
        InputError: the tracker, and what to do.
    """
    for name in report_to:
        package = TRACKERS.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            hint = f"pip install {package}, or set report_to: none"
            raise InputError("config", "report_to", name, hint)
    if "wandb" not in report_to or environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        return
    mode = environ.get("WANDB_MODE") or next(_wandb_modes(environ), "online")
    if mode == "online" and not _wandb_key(environ):
        hint = (
            "run `wandb login` or set WANDB_API_KEY; or set WANDB_MODE=offline (env: in the config), or report_to: none"
        )
        raise InputError("config", "report_to", "wandb", f"nobody is logged in at W&B: {hint}")


def _wandb_modes(environ: Mapping[str, str]) -> Iterator[str]:
    """What `wandb offline` wrote, here or for the user."""
    home = environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb"
    for path in (Path(environ.get("WANDB_DIR") or ".") / "wandb" / "settings", Path(home) / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # wandb says so itself
        if parser.has_option("default", "mode"):
            yield parser.get("default", "mode")


def _wandb_key(environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    for path in (environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        if path and Path(path).is_file():
            try:
                return netrc.netrc(str(path)).authenticators(host) is not None
            except (netrc.NetrcParseError, OSError):
                return False
    return False


def meant_as_folder(name: str) -> bool:
    """Whether a model's name cannot be one of the Hub (`org/name`), or begins in a folder that is here."""
    parts = Path(name).parts
    return name.startswith((".", "~", "/")) or len(parts) > 2 or (len(parts) == 2 and Path(parts[0]).is_dir())


def check_model(name: str, revision: str | None = None) -> None:
    """Raises where a model cannot be loaded from where its name says: a folder, the Hub's cache, or the Hub.

    Raises:
        InputError: no such folder, no model in it, or nothing in the cache and a Hub that does not have or give it.
    """
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder)
    elif meant_as_folder(name):
        hint = f"no such folder: run the stage that makes it first, or give another; {SMALL_BASE}"
        raise InputError("config", "model_name_or_path", name, hint)
    else:
        _check_hub(name, revision)


def _check_folder(folder: Path) -> None:
    if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
        steps = sorted(folder.glob("checkpoint-*"))
        hint = "not there: give the folder of a model" + (
            f", or {steps[-1]} of a run that has not ended" if steps else ""
        )
        raise InputError(folder, "config.json", None, hint)
    if not any(folder.glob("*.safetensors")):
        hint = "not there: save the weights as safetensors, or take the model from its source again"
        raise InputError(folder, "*.safetensors", None, hint)
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
        raise InputError(folder, "tokenizer.json", None, "not there: save the tokenizer beside the weights")


def _check_hub(name: str, revision: str | None) -> None:
    # Not imported above: `clipscout sft` asks this module for its ranks before it loads any library.
    import httpx
    from huggingface_hub import HfApi, is_offline_mode, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError

    fetch = f"run `hf download {name}` where there is a network, or give a folder; {SMALL_BASE}"

    def cached(*files: str) -> bool:
        return any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files)

    try:
        whole = (
            cached("config.json", "adapter_config.json")
            and cached("tokenizer.json", "tokenizer_config.json")
            and cached("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
        )
        if whole:
            return
        if is_offline_mode():
            hint = f"HF_HUB_OFFLINE is set and it is not in the Hub's cache: {fetch}"
            raise InputError("config", "model_name_or_path", name, hint)
        HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS)
    except HFValidationError:
        hint = "no such folder, and no name of the Hub: give a folder that exists, or organisation/name"
        raise InputError("config", "model_name_or_path", name, hint) from None
    except GatedRepoError:
        hint = "accept its terms on its page of the Hub, then run `hf auth login`"
        raise InputError("config", "model_name_or_path", name, hint) from None
    except HfHubHTTPError as error:
        hint = (
            f"the Hub answers {error.response.status_code}: fix the name or revision; `hf auth login` if it is private"
        )
        raise InputError("config", "model_name_or_path", name, hint) from None
    except (httpx.HTTPError, OSError) as error:
        hint = f"the Hub cannot be reached ({type(error).__name__}) and it is not in the Hub's cache: {fetch}"
        raise InputError("config", "model_name_or_path", name, hint) from None


def least_rate(weight: float) -> float:
    """The smallest change that bfloat16 does not round away at a weight: half the distance to the next number."""
    return 2.0 ** (math.floor(math.log2(weight)) - 8)


def check_precision(training: Any, model: Any, name: str) -> None:
    """Raises where whole weights are kept in bfloat16 alone and AdamW's steps are lost in rounding.

    A step of AdamW moves each weight by about the learning rate. bfloat16 has 8 significant bits, so a weight of 0.02
    has neighbours 1.2e-4 away, and a move of less than half of that changes nothing: the loss is computed, and most
    weights stand still. DeepSpeed and FSDP2 keep a copy in fp32, and so does `dtype: float32` under `bf16: true`.

    Args:
        training: trl's options.
        model: trl's `ModelConfig`.
        name: Folder or Hub name of the model, whose config tells its weights' usual size (`initializer_range`) and the
            type that `auto` means.

    Raises:
        InputError: the dtype, and what to use instead.
    """
    from trainer.estimate import model_config, sharding

    optimizer = str(getattr(training.optim, "value", training.optim))
    kept = sharding(training)[0] != "torch" or model.use_peft
    if kept or model.dtype not in ("bfloat16", "auto", None) or not any(each in optimizer for each in ("adam", "lion")):
        return
    if (Path(name) / "adapter_config.json").is_file():
        return
    config = model_config(name)
    if model.dtype != "bfloat16" and str(config.dtype) != "torch.bfloat16":
        return
    weight = getattr(config, "initializer_range", None) or 0.02
    if training.learning_rate < least_rate(weight):
        hint = (
            f"set float32, with bf16: true to compute in bf16: at learning_rate {training.learning_rate:g} most steps "
            f"round away at weights of {weight:g} (all below {least_rate(weight):.1e}). Or train an adapter (use_peft) "
            "or launch with DeepSpeed or FSDP2 (launch/accelerate/), which keep an fp32 copy"
        )
        raise InputError("config", "dtype", model.dtype, hint)
