"""One model out of a base and its adapter."""

import json
import shutil
from pathlib import Path

from peft import PeftModel
from trl import ModelConfig

from navigation import InputError
from trainer.checkpoint import load_model, load_tokenizer, refuse_pickled_adapter
from trainer.checkpoint_record import NAME

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
