#!/usr/bin/env bash
# Serves the policy: for GRPO's asynchronous engine, for evaluation, for a user's questions.
#
#     MODEL=runs/qwen3_8b_grpo DATA_PARALLEL=8 bash launch/vllm_policy.sh
#     MODEL=runs/qwen3_8b_sft DATA_PARALLEL=8 TRAINABLE=1 bash launch/vllm_policy.sh              # GRPO
#     MODEL=Qwen/Qwen3-8B LORA_RANK=32 TRAINABLE=1 bash launch/vllm_policy.sh                     # GRPO of an adapter
#
# Replicas are vLLM's own (--data-parallel-size): one server, one address. A proxy before several servers would not do:
# new weights must reach all replicas, and only the server can pass them on. An adapter reaches one replica only, so
# LORA_RANK goes with DATA_PARALLEL=1.
#
# On several nodes: the same command on each, with NODES, NODE_RANK and HEAD_ADDRESS; node 0 answers.
# Further arguments go to `vllm serve`. DRY_RUN=1 prints the command.
set -euo pipefail
: "${MODEL:?folder or Hub name of the checkpoint}"
: "${HOST:=127.0.0.1}" "${PORT:=8000}" "${SERVED_NAME:=policy}"
: "${TENSOR_PARALLEL:=1}" "${DATA_PARALLEL:=1}" "${NODES:=1}" "${NODE_RANK:=0}" "${HEAD_ADDRESS:=127.0.0.1}"
: "${TRAINABLE:=0}" "${LORA_RANK:=0}" "${MAX_LORAS:=6}" "${MAX_MODEL_LEN:=20480}" "${GPU_MEMORY:=0.9}"

if ((LORA_RANK > 0 && DATA_PARALLEL > 1)); then
  echo "error: LORA_RANK=$LORA_RANK with DATA_PARALLEL=$DATA_PARALLEL: a new adapter reaches one replica only;" \
    "use DATA_PARALLEL=1 with TENSOR_PARALLEL, or full weights" >&2
  exit 2
fi
if ((DATA_PARALLEL % NODES != 0)); then
  echo "error: DATA_PARALLEL=$DATA_PARALLEL does not divide among NODES=$NODES" >&2
  exit 2
fi

command=(
  vllm serve "$MODEL"
  --host "$HOST" --port "$PORT" --served-model-name "$SERVED_NAME"
  --tensor-parallel-size "$TENSOR_PARALLEL" --data-parallel-size "$DATA_PARALLEL"
  --max-model-len "$MAX_MODEL_LEN" --gpu-memory-utilization "$GPU_MEMORY"
  # Rewards and importance ratios need the probabilities that were sampled from.
  --logprobs-mode processed_logprobs --max-logprobs -1
  --enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3
)
if ((NODES > 1)); then
  local_replicas=$((DATA_PARALLEL / NODES))
  command+=(--data-parallel-size-local "$local_replicas" --data-parallel-address "$HEAD_ADDRESS")
  command+=(--data-parallel-rpc-port "${RPC_PORT:-13345}")
  if ((NODE_RANK > 0)); then
    command+=(--headless --data-parallel-start-rank $((NODE_RANK * local_replicas)))
  fi
fi
if ((TRAINABLE)); then
  # The doors through which a trainer pauses the server and hands it weights. They ask for no password: open them only
  # inside the cluster, and only for training.
  export VLLM_SERVER_DEV_MODE=1
  if ((LORA_RANK > 0)); then
    export VLLM_ALLOW_RUNTIME_LORA_UPDATING=1
    command+=(--enable-lora --max-lora-rank "$LORA_RANK" --max-loras "$MAX_LORAS")
  else
    command+=(--weight-transfer-config '{"backend": "nccl"}')
  fi
fi
command+=("$@")
if [[ -n "${DRY_RUN:-}" ]]; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi
exec "${command[@]}"
