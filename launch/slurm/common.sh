# shellcheck shell=bash
# What the batch scripts share; they source it. Settings come from the environment: VENV, LOGS, and what a script names.
#
# Stopping: Slurm sends USR1 to the batch script two minutes before the time limit, and before pre-emption where
# PreemptParameters=send_user_signal is set; `scancel --batch --signal=USR1 JOB` does the same by hand. The script then
# lets the work save (SIGTERM) while its servers go on, stops them, and puts the job back into the queue; the next start
# goes on from what is on disk. A training that needs more than SAVE_SECONDS (240) for that is ended without.
set -euo pipefail
cd "${CLIPSCOUT:-$SLURM_SUBMIT_DIR}"
# shellcheck disable=SC1091
source "${VENV:-.venv}/bin/activate"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1
: "${LOGS:=logs}"
job="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
FOLDER="$LOGS/$SLURM_JOB_NAME-$job${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
mkdir -p "$FOLDER"
echo "start ${SLURM_RESTART_COUNT:-0} of job $job${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID} on $SLURM_JOB_NODELIST, logs in $FOLDER"

main=
servers=()
# The id of the training step, which launch/slurm/train_node.sh writes down when it runs.
export STEP="$FOLDER/training-step"
rm -f "$STEP"

stop_servers() {
  ((${#servers[@]} == 0)) || kill -TERM "${servers[@]}" 2>/dev/null || true
}

# Asks the training step, on all its nodes, to save and end. Not the job's other steps: a trainer whose server ends first
# saves nothing. Not srun itself, which answers SIGTERM by killing its tasks. Again and again, because a trainer that is
# still loading does not listen.
save_training() {
  local end=$((SECONDS + ${SAVE_SECONDS:-240}))
  while kill -0 "$main" 2>/dev/null && ((SECONDS < end)); do
    scancel --signal=TERM "$(<"$STEP")" || true
    sleep 5 &
    wait -n "$main" "$!" || true
  done
}

requeue() {
  trap '' USR1
  echo "asked to stop: saving, then back into the queue"
  if [[ -n "$main" ]]; then
    if [[ -s "$STEP" ]]; then
      save_training
    fi
    kill -TERM "$main" 2>/dev/null || true
    wait "$main" || true
  fi
  stop_servers
  scontrol requeue "$SLURM_JOB_ID"
  # Slurm ends this script; its exit code must not end the job first.
  sleep 60
}

trap requeue USR1
trap stop_servers EXIT

# Runs a command in the background and waits, so that a signal is handled at once and not after the command. Ends with an
# error when one of the servers ends first.
run() {
  "$@" &
  main=$!
  local code=0
  wait -n "$main" ${servers[@]+"${servers[@]}"} || code=$?
  if kill -0 "$main" 2>/dev/null; then
    echo "error: a server has ended (exit code $code) while it was needed; see $FOLDER" >&2
    kill -TERM "$main" 2>/dev/null || true
    wait "$main" || true
    exit 1
  fi
  main=
  return "$code"
}

# Starts a server in the background, its log in $FOLDER/NAME.log: start NAME command …
start() {
  local name=$1
  shift
  "$@" >>"$FOLDER/$name.log" 2>&1 &
  servers+=("$!")
}

# Waits until the server that was started last serves a model: await NAME URL MODEL [number of the server]
await() {
  local name=$1 process=${servers[${4:--1}]}
  bash launch/wait_for_server.sh "$2" "$3" "${SERVER_SECONDS:-1800}" "$process" "$FOLDER/$name.log" &
  main=$!
  wait "$main"
  main=
  echo "$name serves $3 at $2"
}
