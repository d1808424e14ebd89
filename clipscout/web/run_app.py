"""Binds an application to an address and serves it until Ctrl-C."""

import ipaddress
import socket
import sys

import uvicorn

from clipscout.web.guard import LOOPBACK, App
from navigation import InputError


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str) -> tuple[str, ...] | None:
    """Names a server bound to `host` may be called by: loopback names only on loopback, any elsewhere."""
    return LOOPBACK if is_loopback(host) else None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: the address is in use or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        mend = "give another --port, 0 takes a free one" if error.errno == 98 else "give an address of this machine"
        raise InputError("server", "address", f"{host}:{port}", f"{error.strerror}: {mend}") from None
    return listener


def run_app(app: App, host: str, port: int, what: str) -> None:
    """Serves until interrupted; says where on standard error."""
    listener = bind(host, port)
    shown_host = f"[{host.strip('[]')}]" if ":" in host else host
    print(f"{what} at http://{shown_host}:{listener.getsockname()[1]}/  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    if not is_loopback(host):
        print("warning: everyone who reaches this address can use it; there is no login", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=10,
        timeout_graceful_shutdown=2, lifespan="on", h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
