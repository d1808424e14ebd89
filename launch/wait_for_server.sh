#!/usr/bin/env bash
# Waits until a server answers and serves a model; ends with an error as soon as it cannot.
#
#     bash launch/wait_for_server.sh http://127.0.0.1:8000 policy [seconds] [process id] [log]
#
# With a process id it gives up when that process is gone, with a log it shows the log's end.
set -euo pipefail
url=${1:?address without /v1} model=${2:?name of the model} seconds=${3:-1800} process=${4:-} log=${5:-}

give_up() {
  echo "error: $url does not serve $model: $1" >&2
  if [[ -n "$log" && -f "$log" ]]; then
    echo "the end of $log:" >&2
    tail -n 20 "$log" >&2
  fi
  exit 1
}

end=$((SECONDS + seconds))
served=
while ((SECONDS < end)); do
  if [[ -n "$process" ]] && ! kill -0 "$process" 2>/dev/null; then
    give_up "process $process has ended"
  fi
  if curl --silent --fail --max-time 5 --output /dev/null "$url/health"; then
    served=$(curl --silent --fail --max-time 5 "$url/v1/models" || true)
    if [[ "$served" == *"\"id\":\"$model\""* || "$served" == *"\"id\": \"$model\""* ]]; then
      exit 0
    fi
  fi
  sleep 2
done
give_up "not within $seconds s; it answers ${served:-nothing}"
