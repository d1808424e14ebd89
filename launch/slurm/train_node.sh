#!/usr/bin/env bash
# One node's part of a training run; `srun` starts it once a node. LAUNCH, HEAD, PORT, PROCESSES (a node), FOLDER and STEP
# come from the batch script, the module and its arguments from the command line.
set -euo pipefail
# Slurm's SIGTERM reaches every process of the step. The trainer saves and ends; the launcher, which would kill it after
# 30 s, lets it: it ends when its children have ended.
trap '' TERM
export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGINT
# Whom the batch script sends that signal to. From now on nobody here dies of it.
if [[ "$SLURM_PROCID" == 0 && -n "${STEP:-}" ]]; then
  echo "$SLURM_JOB_ID.$SLURM_STEP_ID" >"$STEP"
fi
# With several machines accelerate would start DeepSpeed over ssh and write the whole environment, keys and all, to a file.
# `standard` starts this node's processes only, as Slurm wants it; and whatever is still written goes nowhere.
export DS_ENV_FILE=/dev/null
nodes=${SLURM_STEP_NUM_NODES:-1}
exec accelerate launch --config_file "$LAUNCH" \
  --num_machines "$nodes" --machine_rank "$SLURM_PROCID" --num_processes $((nodes * PROCESSES)) \
  --main_process_ip "$HEAD" --main_process_port "$PORT" --same_network --deepspeed_multinode_launcher standard \
  --tee 3 --log_dir "$FOLDER/ranks-of-node-$SLURM_PROCID" \
  "$@"
