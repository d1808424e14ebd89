#!/usr/bin/env bash
# One address before several servers of one model, by nginx: each request goes to the server with the fewest, and one
# that is down is left out until it answers again.
#
#     bash launch/proxy.sh 8100 node1:8101 node2:8101
#
# For the vision model, whose requests do not depend on each other; not for a policy in training (launch/vllm_policy.sh).
# LISTEN_ADDRESS=0.0.0.0 for other machines; PROXY_FOLDER keeps nginx.conf and its log. DRY_RUN=1 writes nginx.conf and stops.
set -euo pipefail
if (($# < 2)); then
  echo "error: give a port and the servers behind it: bash launch/proxy.sh 8100 node1:8101 node2:8101" >&2
  exit 2
fi
port=$1
shift
: "${LISTEN_ADDRESS:=127.0.0.1}" "${PROXY_FOLDER:=$(mktemp -d)}"
mkdir -p "$PROXY_FOLDER"
folder=$(cd "$PROXY_FOLDER" && pwd)
servers=
for server in "$@"; do
  servers+="    server $server max_fails=2 fail_timeout=5s;"$'\n'
done
# Started by root, nginx would give its workers to a user who cannot write into this folder.
user=
if ((EUID == 0)); then
  user="user root;"
fi
cat >"$folder/nginx.conf" <<CONF
daemon off;
$user
pid $folder/nginx.pid;
error_log $folder/error.log warn;
worker_processes 2;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  client_max_body_size 256m;
  client_body_buffer_size 1m;
  upstream model {
    least_conn;
$servers    keepalive 128;
  }
  server {
    listen $LISTEN_ADDRESS:$port backlog=4096;
    location / {
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_connect_timeout 5s;
      proxy_read_timeout 900s;
      # A request whose server died is asked of another; one that is only slow is not, that would pay it twice.
      proxy_next_upstream error http_502 http_503 non_idempotent;
    }
  }
}
CONF
nginx=$(command -v nginx || echo /usr/sbin/nginx)
if [[ ! -x "$nginx" ]]; then
  echo "error: nginx is not there: apt-get install nginx-light" >&2
  exit 2
fi
"$nginx" -t -q -c "$folder/nginx.conf"
if [[ -n "${DRY_RUN:-}" ]]; then
  echo "$folder/nginx.conf"
  exit 0
fi
exec "$nginx" -c "$folder/nginx.conf"
