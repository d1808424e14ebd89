"""A loopback endpoint that plays a scripted model, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Model = Callable[[dict[str, Any]], dict[str, Any]]
"""A request's body to an assistant message."""


class ChatServer:
    """Serves `POST /v1/chat/completions` while it is open; `requests` holds the bodies in order of arrival.

    Args:
        model: Makes the replies.
        status: Of every reply; other than 200, nothing is answered.
    """

    def __init__(self, model: Model, status: int = 200) -> None:
        self.model, self.status = model, status
        self.requests: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                reply: dict[str, Any] = {"error": {"message": "no"}}
                if outer.status == 200:
                    message = {"role": "assistant", "content": None, **outer.model(body)}
                    usage = {"prompt_tokens": 100, "completion_tokens": 10}
                    reply = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
                data = json.dumps(reply).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "ChatServer":
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def call(name: str, arguments: Any) -> dict[str, Any]:
    """A tool call as the API writes it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": text}}
