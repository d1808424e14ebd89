"""Resuming GRPO past its first epoch: the same questions, in the same order."""

import shutil

from trainer.recorder import RolloutRecorder, read_rollouts
from trainer.run import train


def run(make_trainer, base, folder):
    trainer = make_trainer(
        model=base, output_dir=folder, trainer={"recorder": RolloutRecorder(folder, "all")}, max_steps=4,
        max_completion_length=24, save_strategy="steps", save_steps=1, lr_scheduler_type="constant",
    )  # fmt: skip
    trainer.train_dataset = trainer.train_dataset.select(range(4))  # two steps an epoch
    train(trainer, None)


def test_a_run_resumed_in_its_second_epoch_asks_what_it_would_have(make_trainer, base, tmp_path):
    whole = tmp_path / "whole"
    run(make_trainer, base, whole)
    asked = [row["question_id"] for row in read_rollouts(whole)]
    assert set(asked[:16]) == set(asked[16:])
    assert asked[:16] != asked[16:]
    for step in (2, 3):  # between the epochs, and in the second
        out = tmp_path / str(step)
        shutil.copytree(whole, out)
        (out / "model.safetensors").unlink()
        for later in range(step + 1, 5):
            shutil.rmtree(out / f"checkpoint-{later}")
        run(make_trainer, base, out)
        assert [row["question_id"] for row in read_rollouts(out)] == asked
