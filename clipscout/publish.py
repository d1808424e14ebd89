"""Puts a checkpoint, a data set or caption trees on the Hugging Face Hub: what is named here, and nothing else.

What may go up is a list of names, not what happens to lie in the folder: pickles (`training_args.bin`, optimizer
states), logs and checkpoints stay. Every text is looked through for credentials first.
"""

import fnmatch
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, get_token, is_offline_mode
from huggingface_hub.utils import HfHubHTTPError, validate_repo_id
from peft import PeftModel
from safetensors import safe_open
from trl import ModelConfig

from navigation import CaptionTree, InputError
from runtime.secrets import refuse_secrets, secret_in, without_secrets
from trainer.checkpoint import NAME, load_model, load_tokenizer, refuse_pickled_adapter

MODEL_FILES = (
    "config.json", "generation_config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json",
    "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "clipscout.json",
    "resolved_config.yaml",
)  # fmt: skip
INDEX = "model.safetensors.index.json"
DATASET_FILES = ("README.md", "figures.json", "sft/*.parquet", "rl/*.parquet", "sft/*.jsonl", "rl/*.jsonl")
TREE_FILES = ("trees/*.json", "questions.jsonl", "stats.json")
KINDS = {"model": MODEL_FILES, "dataset": DATASET_FILES, "trees": TREE_FILES}


@dataclass(slots=True)
class Plan:
    """What would go up, and what stays.

    Args:
        repo: `organisation/name`.
        kind: `model`, `dataset` or `trees`.
        files: Path in the repository to the file or, for a text written now, the text.
        left_out: Names in the folder that stay.
    """

    repo: str
    kind: str
    files: dict[str, Path | str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def repo_type(self) -> str:
        return "model" if self.kind == "model" else "dataset"

    def lines(self) -> Iterator[str]:
        """The plan in words: every file with its size, then what stays."""
        total = sum(map(size_of, self.files.values()))
        yield f"{self.repo} ({self.repo_type}): {len(self.files)} files, {total:,} bytes"
        for name, content in sorted(self.files.items()):
            yield f"  {size_of(content):>14,}  {name}"
        if self.left_out:
            yield "stays here: " + ", ".join(sorted(self.left_out))


def size_of(content: Path | str) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content.encode())


def plan(folder: str | Path, repo: str, kind: str, card: str | None = None) -> Plan:
    """Chooses and checks the files of a folder.

    Args:
        folder: A checkpoint, a data set of `clipscout dataset`, or a folder with `trees/`.
        repo: `organisation/name`.
        kind: One of `KINDS`.
        card: README.md, where it is written now.

    Raises:
        InputError: nothing to upload, a file that is not what its name says, a secret in a text, or a bad name.
    """
    folder = Path(folder)
    check_names(folder, repo, kind)
    made = Plan(repo, kind)
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in KINDS[kind]):
            # A link could lead to any file of the machine.
            if path.is_symlink():
                raise InputError(path, "file", "a link", "put the file itself there")
            made.files[name] = path
        else:
            made.left_out.append(name.partition("/")[0] + "/" if "/" in name else name)
    made.left_out = sorted(set(made.left_out) - {f"{name.partition('/')[0]}/" for name in made.files if "/" in name})
    _check(made, folder)
    if card is not None:
        made.files["README.md"] = card
        made.left_out = [name for name in made.left_out if name != "README.md"]
        kind_of_secret = secret_in(card)
        if kind_of_secret:
            raise InputError("model card", "content", kind_of_secret, "take it out; nothing was uploaded")
    return made


def check_names(folder: str | Path, repo: str, kind: str) -> None:
    """Raises for a kind that does not exist, a repository's name that the Hub has no room for, or no folder.

    Raises:
        InputError: which of the three.
    """
    if kind not in KINDS:
        raise InputError("push", "kind", kind, f"give one of {', '.join(KINDS)}")
    try:
        validate_repo_id(repo)
    except ValueError as error:
        raise InputError("push", "repo", repo, f"give organisation/name ({error})") from None
    if "/" not in repo:
        raise InputError("push", "repo", repo, "give organisation/name")
    if not Path(folder).is_dir():
        raise InputError("push", "folder", str(folder), "give a folder that exists")


def _check(made: Plan, folder: Path) -> None:
    wanted = {"model": "*.safetensors", "dataset": "sft/*.parquet", "trees": "trees/*.json"}[made.kind]
    if not any(fnmatch.fnmatchcase(name, wanted) for name in made.files):
        raise InputError(
            folder, "files", sorted(made.files), f"there is no {wanted}: give a folder of kind {made.kind}"
        )
    for name, path in made.files.items():
        assert isinstance(path, Path)
        if name.endswith(".safetensors"):
            try:
                with safe_open(path, "pt") as file:
                    file.keys()
            except Exception as error:  # the library has one class of its own for everything
                raise InputError(path, "file", str(error), "it is no whole safetensors file: save it again") from None
        elif name.startswith("trees/"):
            CaptionTree.load(path)
        refuse_secrets(path)
    if made.kind == "model":
        for name in ("chat_template.jinja", "tokenizer.json"):
            if name not in made.files:
                raise InputError(
                    folder, "file", name, "not there: a model without its template and tokenizer is no use"
                )
        _check_adapter(made, folder)
        _check_shards(made, folder)


def _check_adapter(made: Plan, folder: Path) -> None:
    if "adapter_config.json" not in made.files:
        return
    base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base or Path(base).exists() or base.startswith(("/", ".")):
        hint = "others do not have that folder: push with --merge, or train the adapter on a Hub model"
        raise InputError(folder / "adapter_config.json", "base_model_name_or_path", base, hint)


def _check_shards(made: Plan, folder: Path) -> None:
    """The shards of the index go up, all of them, and nothing of an earlier save."""
    weights = {name for name in made.files if name.startswith("model") and name.endswith(".safetensors")}
    index = folder / INDEX
    if INDEX in made.files:
        try:
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(index, "weight_map", None, "it is no index of weights: save the model again") from None
    elif weights:
        named = {"model.safetensors"}
    else:
        return  # an adapter
    for name in sorted(named - weights):
        raise InputError(folder, "file", name, f"{INDEX} names it and it is not there: save the model again")
    for name in sorted(weights - named):
        raise InputError(folder / name, "file", name, "the model does not consist of it: delete it, or save again")


def upload(made: Plan, private: bool = True) -> str:
    """Creates the repository if it is not there and commits the plan's files; returns the commit's address.

    The token comes from HF_TOKEN or `hf auth login`.

    Raises:
        InputError: the Hub refused, or cannot be reached.
    """
    check_hub()
    operations = [
        CommitOperationAdd(name, content if isinstance(content, Path) else content.encode())
        for name, content in sorted(made.files.items())
    ]
    try:
        api = HfApi()
        api.create_repo(made.repo, repo_type=made.repo_type, private=private, exist_ok=True)
        commit = api.create_commit(
            made.repo, operations, repo_type=made.repo_type, commit_message=f"ClipScout {made.kind}"
        )
    except HfHubHTTPError as error:
        raise InputError("Hub", "answer", _line(error), "check HF_TOKEN and its rights") from None
    except (httpx.HTTPError, OSError, ValueError) as error:
        hint = "check the network, HF_ENDPOINT and proxies, then run the same command again"
        raise InputError("Hub", "connection", _line(error), hint) from None
    return str(commit.commit_url)


def check_hub() -> None:
    """Raises where an upload cannot begin: offline, or nobody is logged in.

    Raises:
        InputError: which of the two.
    """
    if is_offline_mode():
        raise InputError("environment", "HF_HUB_OFFLINE", "1", "unset it: an upload needs the Hub")
    if get_token() is None:
        raise InputError("Hub", "token", None, "nobody is logged in: run `hf auth login`, or set HF_TOKEN")


def _line(error: Exception) -> str:
    """What went wrong, in one line that holds no secret."""
    first = next(iter(str(error).splitlines()), "")
    return without_secrets(f"{type(error).__name__}: {first}" if first else type(error).__name__)


CARRIED = (NAME, "resolved_config.yaml", "metrics.jsonl")


def merge_adapter(folder: str | Path, out: str | Path) -> Path:
    """Adds a LoRA adapter's weights to its base's and saves the whole model in `out`, with tokenizer and records.

    Raises:
        InputError: the folder holds no adapter, or its weights are a pickle.
    """
    folder, out = Path(folder), Path(out)
    config = folder / "adapter_config.json"
    if not config.is_file():
        raise InputError(
            folder, "adapter_config.json", None, "not there: give the folder of an adapter, or do not merge"
        )
    refuse_pickled_adapter(str(folder))
    base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
    model = PeftModel.from_pretrained(load_model(ModelConfig(model_name_or_path=base, dtype="auto")), str(folder))
    merged = model.merge_and_unload()
    merged.save_pretrained(out)
    load_tokenizer(str(folder)).save_pretrained(out)
    for name in CARRIED:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    return out
