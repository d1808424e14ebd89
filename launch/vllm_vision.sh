#!/usr/bin/env bash
# Serves the vision model on this machine: captions and `video_qa`.
#
#     MODEL=Qwen/Qwen3-VL-32B-Instruct TENSOR_PARALLEL=2 DATA_PARALLEL=4 bash launch/vllm_vision.sh      # eight GPUs
#
# Its replicas share one address (vLLM's data parallelism). Several machines: one of these on each, and
# launch/proxy.sh before them. Further arguments go to `vllm serve`. DRY_RUN=1 prints the command.
set -euo pipefail
: "${MODEL:?folder or Hub name of the vision model}"
: "${HOST:=127.0.0.1}" "${PORT:=8100}" "${SERVED_NAME:=$MODEL}"
: "${TENSOR_PARALLEL:=1}" "${DATA_PARALLEL:=1}" "${MAX_MODEL_LEN:=32768}" "${GPU_MEMORY:=0.9}" "${MAX_IMAGES:=128}"

command=(
  vllm serve "$MODEL"
  --host "$HOST" --port "$PORT" --served-model-name "$SERVED_NAME"
  --tensor-parallel-size "$TENSOR_PARALLEL" --data-parallel-size "$DATA_PARALLEL"
  --max-model-len "$MAX_MODEL_LEN" --gpu-memory-utilization "$GPU_MEMORY"
  # A top-level segment is captioned from 128 frames. Files and addresses are never read for a request: frames come in it.
  --limit-mm-per-prompt "{\"image\": $MAX_IMAGES, \"video\": 0}"
)
command+=("$@")
if [[ -n "${DRY_RUN:-}" ]]; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi
exec "${command[@]}"
