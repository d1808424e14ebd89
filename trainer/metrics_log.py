"""Every logged metric as one JSON line beside the run, whatever other trackers are on."""

import json
import time
from pathlib import Path

from transformers import TrainerCallback

from navigation import write_atomic


class MetricsLog(TrainerCallback):
    """Appends `{"step", "time", **metrics}` to `<output_dir>/metrics.jsonl` on the main process.

    Resuming drops the lines of steps that will run again, so that every step is there once.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "metrics.jsonl"

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        kept = [row for row in read_metrics(self.path) if row["step"] <= state.global_step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            row = {"step": state.global_step, "time": round(time.time(), 3), **logs}
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def read_metrics(path: str | Path) -> list[dict]:
    """Rows of a metrics file; none if it is not there. A last line cut by a kill is left out."""
    path = Path(path)
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
