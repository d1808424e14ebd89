# shellcheck shell=bash
# What the batch scripts share; they source it. Settings come from the environment: VENV, LOGS, and what a script names.
#
# Stopping: Slurm sends USR1 to the batch script two minutes before the time limit, and before pre-emption where
# PreemptParameters=send_user_signal is set; `scancel --batch --signal=USR1 JOB` does the same by hand. The script then
# lets its steps save (SIGTERM), puts the job back into the queue, and the next start goes on from what is on disk.
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

stop_servers() {
  ((${#servers[@]} == 0)) || kill -TERM "${servers[@]}" 2>/dev/null || true
}

requeue() {
  trap '' USR1
  echo "asked to stop: saving, then back into the queue"
  if [[ -n "$main" ]]; then
    # Steps of all nodes, and what runs in this script itself.
    scancel --signal=TERM "$SLURM_JOB_ID" || true
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
