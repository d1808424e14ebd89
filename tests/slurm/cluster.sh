#!/usr/bin/env bash
# A Slurm of two nodes on this one machine, on loopback, without systemd; for tests and for trying launch/slurm.
#
#     bash tests/slurm/cluster.sh start /tmp/slurm      # installs Debian's packages where they are missing; needs root
#     export SLURM_CONF=/tmp/slurm/slurm.conf; sinfo
#     bash tests/slurm/cluster.sh stop /tmp/slurm
set -euo pipefail
action=${1:?start or stop} folder=${2:?folder for its state}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
export SLURM_CONF="$folder/slurm.conf"

stop() {
  local name
  for name in slurmd-n1 slurmd-n2 slurmctld munged; do
    if [[ -f "$folder/$name.pid" ]]; then
      kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
      rm -f "$folder/$name.pid"
    fi
  done
}

start() {
  if ! command -v slurmctld slurmd munged >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      slurmctld slurmd slurm-client munge >/dev/null
  fi
  mkdir -p "$folder"/{state,spool-n1,spool-n2,log}
  # The daemons work for other users than the one who starts them.
  chmod 755 "$folder"
  chown -R slurm "$folder/state" "$folder/log"
  local host
  host=$(hostname)
  cat >"$SLURM_CONF" <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=6821
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmctldTimeout=30
KillWait=5
SchedulerParameters=sched_interval=5,bf_interval=5,requeue_setup_env_fail
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=6831 CPUs=1 RealMemory=20000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=6832 CPUs=1 RealMemory=20000
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  if [[ ! -f "$folder/munge.key" ]]; then
    dd if=/dev/urandom of="$folder/munge.key" bs=1 count=1024 status=none
  fi
  install -d -m 755 "$folder/munge"
  chown -R munge "$folder/munge.key" "$folder/munge"
  chmod 400 "$folder/munge.key"
  # Its own socket, beside a munge that may be there already.
  runuser -u munge -- munged --key-file="$folder/munge.key" --socket="$folder/munge/socket" --force \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
  cp "$folder/munge/pid" "$folder/munged.pid"
  touch "$folder/slurmctld.pid"
  chown slurm "$folder/slurmctld.pid"
  slurmctld
  slurmd -N n1
  slurmd -N n2
  local end=$((SECONDS + 60))
  until [[ "$(sinfo --noheader --format=%D --states=idle 2>/dev/null)" == 2 ]]; do
    if ((SECONDS > end)); then
      echo "error: the nodes did not come up; see $folder/log" >&2
      tail -n 20 "$folder"/log/* >&2
      stop
      exit 1
    fi
    sleep 0.5
  done
  sinfo
}

case "$action" in
  start) start ;;
  stop) stop ;;
  *)
    echo "error: give start or stop" >&2
    exit 2
    ;;
esac
