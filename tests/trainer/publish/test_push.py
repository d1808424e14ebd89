"""`clipscout push` against a recorder of the Hub's calls: what goes up, and what never does."""

import json
import shutil

import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load
from transformers import AutoModelForCausalLM
from trl import ModelConfig
from typer.testing import CliRunner

from clipscout.main import app
from clipscout.publish import merge_adapter, plan
from navigation import InputError, write_json
from runtime.secrets import secret_in
from trainer.checkpoint import load_model, load_tokenizer, write_record

RESOLVED = {"learning_rate": 1e-5, "num_train_epochs": 3, "model_name_or_path": "Qwen/Qwen3-8B"}
FACTS = {"stage": "sft", "base": "Qwen/Qwen3-8B", "step": 40, "data": {"trajectories": 43, "tokens": 9657}}


def run(*arguments):
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


@pytest.fixture
def checkpoint(base, tmp_path):
    """A finished run's folder, with what such a folder also holds."""
    folder = tmp_path / "sft"
    shutil.copytree(base, folder)
    tokenizer = load_tokenizer(str(base))
    write_record(folder, tokenizer, FACTS)
    (folder / "resolved_config.yaml").write_text(yaml.safe_dump(RESOLVED))
    rows = [{"step": 1, "loss": 2.5}, {"step": 40, "loss": 0.25}, {"step": 40, "eval_loss": 0.5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.save({"secret": 1}, folder / "training_args.bin")
    (folder / "checkpoint-40").mkdir()
    torch.save({}, folder / "checkpoint-40" / "optimizer.pt")
    shutil.copyfile(folder / "model.safetensors", folder / "checkpoint-40" / "model.safetensors")
    (folder / ".env").write_text("HF_TOKEN=hf_aVeryRealLookingToken00")  # pragma: allowlist secret
    return folder


def test_a_checkpoint_goes_up_with_its_template_record_and_card(checkpoint, hub):
    done = run(checkpoint, "org/navigator")
    assert done.exit_code == 0, done.output
    assert sorted(hub.files) == [
        "README.md", "chat_template.jinja", "clipscout.json", "config.json", "generation_config.json",
        "model.safetensors", "resolved_config.yaml", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert hub.created["name"] == "navigator"
    assert hub.created["organization"] == "org"
    assert hub.created["visibility"] == "private"
    for name in set(hub.files) - {"README.md"}:
        assert hub.files[name] == (checkpoint / name).read_bytes()
    sent = b"".join([*hub.files.values(), *hub.objects.values()])
    assert b"aVeryRealLookingToken" not in sent
    assert b"optimizer" not in b"".join(hub.files[name] for name in hub.files if name.endswith(".safetensors"))


def test_the_card_holds_the_run_s_own_figures(checkpoint, hub, tmp_path):
    row = {"accuracy": 0.625, "accuracy_ci": [0.5, 0.75], "answered": 38, "n": 40, "visits": 2.25, "visit_cost": 2.5}
    write_json(tmp_path / "summary.json", {"policies": {"sft": row}})
    assert run(checkpoint, "org/navigator", "--evaluation", tmp_path / "summary.json").exit_code == 0
    card = hub.files["README.md"].decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["license"], header["base_model"]) == ("apache-2.0", "Qwen/Qwen3-8B")
    for figure in ("9657", "`learning_rate` | 1e-05", "2.5000 at step 1", "0.2500 at step 40", "0.5000 at step 40",
                   "| sft | 0.625 | 0.500 to 0.750 | 38 / 40 | 2.250 | 2.500 |"):  # fmt: skip
        assert figure in card, figure
    assert "Limits" in card


def test_a_dry_run_lists_exactly_what_would_go_up_and_sends_nothing(checkpoint, hub):
    dry = run(checkpoint, "org/navigator", "--dry-run")
    assert dry.exit_code == 0
    assert hub.calls == []
    listed = {line.split()[-1] for line in dry.output.splitlines() if line.startswith("   ") and "  " in line.strip()}
    assert run(checkpoint, "org/navigator").exit_code == 0
    assert listed == set(hub.files)
    assert "training_args.bin" in dry.output.partition("stays here: ")[2]
    assert hub.files["README.md"].decode() in dry.output


@pytest.mark.parametrize("name", ["resolved_config.yaml", "tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("hf_" + "a1B2" * 6, "Hugging Face token"),
        ("https://me:pass@host/x", "password"),  # pragma: allowlist secret
        ("s3cret-value-here", "MY_KEY"),
    ],
)
def test_a_secret_in_a_text_stops_everything(checkpoint, hub, monkeypatch, name, secret, kind):
    monkeypatch.setenv("MY_KEY", "s3cret-value-here")
    path = checkpoint / name
    path.write_text(path.read_text() + f"\n# {secret}\n")
    with pytest.raises(InputError) as refused:
        plan(checkpoint, "org/navigator", "model", "card")
    assert kind in refused.value.value
    assert secret not in str(refused.value)
    assert run(checkpoint, "org/navigator").exit_code != 0
    assert hub.calls == []


def test_a_pickle_under_the_name_of_weights_is_refused(checkpoint, hub):
    torch.save({"weights": 1}, checkpoint / "model.safetensors")
    with pytest.raises(InputError) as error:
        plan(checkpoint, "org/navigator", "model", "card")
    assert (error.value.source, error.value.field) == (str(checkpoint / "model.safetensors"), "file")


def test_a_link_out_of_the_folder_is_refused(checkpoint, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (checkpoint / "generation_config.json").unlink()
    (checkpoint / "generation_config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError) as error:
        plan(checkpoint, "org/navigator", "model", "card")
    assert (error.value.field, error.value.value) == ("file", "a link")


def test_an_unknown_base_needs_its_licence(checkpoint, base):
    write_record(checkpoint, load_tokenizer(str(base)), FACTS | {"base": "someone/else"})
    done = run(checkpoint, "org/navigator", "--dry-run")
    assert done.exit_code != 0
    assert "license" in str(done.exception)
    assert run(checkpoint, "org/navigator", "--dry-run", "--license", "mit").exit_code == 0


def test_a_refusal_of_the_hub_is_told(checkpoint, hub):
    hub.refuse = True
    done = run(checkpoint, "org/navigator")
    assert done.exit_code != 0
    assert "HF_TOKEN" in str(done.exception)
    assert "madeUpForTheRecorder" not in str(done.exception)


@pytest.mark.parametrize("kind", ["closed", "offline", "nobody"])
def test_a_hub_that_cannot_be_reached_is_one_line(checkpoint, hub, monkeypatch, kind):
    if kind == "closed":
        for name in ("ENDPOINT", "HF_ENDPOINT"):
            monkeypatch.setattr("huggingface_hub.constants." + name, "http://127.0.0.1:9", raising=False)
    elif kind == "offline":
        monkeypatch.setattr("clipscout.publish.is_offline_mode", lambda: True)
    else:
        monkeypatch.setattr("clipscout.publish.get_token", lambda: None)
    done = run(checkpoint, "org/navigator")
    assert isinstance(done.exception, InputError)
    assert done.exception.field == {"closed": "connection", "offline": "HF_HUB_OFFLINE", "nobody": "token"}[kind]
    assert "\n" not in str(done.exception)
    assert "madeUpForTheRecorder" not in str(done.exception)
    assert run(checkpoint, "org/navigator", "--dry-run").exit_code == 0


def test_an_adapter_on_a_local_base_is_merged_or_refused(base, hub, tmp_path):
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    adapted = get_peft_model(model, lora)
    folder = tmp_path / "lora"
    adapted.save_pretrained(folder)
    load_tokenizer(str(base)).save_pretrained(folder)
    ids = torch.arange(12)[None]
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)(ids).logits
    done = run(folder, "org/navigator", "--license", "mit", "--dry-run")
    assert "--merge" in str(done.exception)
    assert run(folder, "org/navigator", "--license", "mit", "--merge").exit_code == 0
    assert "adapter_model.safetensors" not in hub.files
    merged = AutoModelForCausalLM.from_pretrained(base)
    merged.load_state_dict(load(hub.files["model.safetensors"]), strict=False)
    assert torch.allclose(merged(ids).logits, expected, atol=1e-4)
    whole = tmp_path / "whole"
    assert CliRunner().invoke(app, ["merge", str(folder), str(whole)]).exit_code == 0
    assert torch.allclose(AutoModelForCausalLM.from_pretrained(whole)(ids).logits, expected, atol=1e-4)
    assert CliRunner().invoke(app, ["merge", str(folder), str(whole)]).exit_code != 0


def test_trees_and_data_sets(traces, hub, tmp_path):
    done = run(traces, "org/trees", "--kind", "trees", "--license", "mit")
    assert done.exit_code == 0, done.output
    trees = {f"trees/{path.name}" for path in (traces / "trees").glob("*.json")}
    assert set(hub.files) == trees | {"README.md", "questions.jsonl", "stats.json"}
    assert f"{len(trees):,} videos" in hub.files["README.md"].decode()
    assert any("/api/datasets/" in path for _, path in hub.calls)
    hub.files.clear()
    from data_gen.sets import export_sets

    export_sets(traces, tmp_path / "set")
    (tmp_path / "set" / "notes.txt").write_text("mine")
    done = run(tmp_path / "set", "org/set", "--kind", "dataset")
    assert done.exit_code == 0, done.output
    assert "notes.txt" not in hub.files
    assert {"README.md", "sft/train.parquet", "rl/train.parquet", "figures.json"} <= set(hub.files)


@pytest.mark.parametrize(("repo", "kind"), [("a/b/c", "model"), ("name", "model"), ("org/name", "models")])
def test_bad_names(checkpoint, hub, repo, kind):
    with pytest.raises(InputError) as error:
        plan(checkpoint, repo, kind, "card")
    assert error.value.source == "push"
    assert run(checkpoint, repo, "--kind", kind).exit_code != 0
    assert hub.calls == []


def test_a_folder_that_is_not_there_is_no_name_to_look_up(hub, tmp_path):
    done = run(tmp_path / "sft", "org/navigator")
    assert "folder" in str(done.exception)
    assert hub.calls == []


def test_the_card_of_a_later_stage_names_the_model_at_the_start(checkpoint, base, hub):
    later = checkpoint.parent / "grpo"
    shutil.copytree(base, later)
    write_record(later, load_tokenizer(str(base)), FACTS | {"stage": "grpo", "base": str(checkpoint)})
    assert run(later, "org/navigator").exit_code == 0
    header = yaml.safe_load(hub.files["README.md"].decode().split("---\n")[1])
    assert (header["license"], header["base_model"]) == ("apache-2.0", "Qwen/Qwen3-8B")


def test_the_scan_knows_the_process_s_own_secrets_and_no_plain_words():
    environment = [("HF_TOKEN", "abcdefghijklmnop"), ("KEY", "short"), ("PATH", "/usr/local/binaries")]
    assert secret_in("x abcdefghijklmnop y", environment) == "the value of HF_TOKEN"
    assert secret_in("short and /usr/local/binaries", environment) is None
    assert secret_in("-----BEGIN RSA PRIVATE KEY-----", ()) == "a private key"  # pragma: allowlist secret
    assert secret_in("max_tokens: 12, pad_token: <|endoftext|>", ()) is None


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(),
         "file", "model-00002-of-00003.safetensors"),
        (lambda folder: shutil.copy(next(folder.glob("model-*1-of*")), folder / "model-00004-of-00004.safetensors"),
         "file", "model-00004-of-00004.safetensors"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "weight_map", None),
        (lambda folder: (folder / "model.safetensors.index.json").unlink(), "file", "model.safetensors"),
    ],
)  # fmt: skip
def test_the_shards_are_those_of_the_index(checkpoint, change, field, value):
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="40KB")
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())
    found = sorted(name for name in plan(checkpoint, "org/navigator", "model").files if name.endswith(".safetensors"))
    assert found == sorted(set(index["weight_map"].values()))
    assert len(found) == 3
    change(checkpoint)
    with pytest.raises(InputError) as error:
        plan(checkpoint, "org/navigator", "model")
    assert (error.value.field, error.value.value) == (field, value)


def test_an_adapter_in_a_pickle_is_not_opened(base, tmp_path):
    folder = tmp_path / "adapter"
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules=["q_proj"]))
    model.save_pretrained(folder)
    model = load_model(ModelConfig(model_name_or_path=str(folder), dtype="float32"))
    torch.save(dict(model.state_dict()), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    for read in (
        lambda: load_model(ModelConfig(model_name_or_path=str(folder))),
        lambda: merge_adapter(folder, tmp_path / "merged"),
    ):
        with pytest.raises(InputError) as error:
            read()
        assert (error.value.field, error.value.value) == ("adapter_model.safetensors", None)
