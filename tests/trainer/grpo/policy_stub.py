"""A policy server without a model: the few of vLLM's answers that the asynchronous engine asks for."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PolicyStub:
    """Serves `name`, says the same `turn` to every prompt, and answers 404 to a request for any other model.

    Args:
        turn: Token ids of the turn.
        name: As `--served-model-name` gives it.
        longest: Its `max_model_len`.
        adapters: Names of adapters that it lists before its model.
    """

    def __init__(self, turn=(), name="policy", longest=2048, adapters=()):
        self.turn, self.name, self.longest, self.adapters = list(turn), name, longest, adapters
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/v1/models":
                    self.say(200, {"data": [*outer.listed()]})
                else:
                    self.say(200, {})

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
                outer.asked.append(asked["model"])
                if asked["model"] != outer.name:
                    self.say(404, {"error": {"message": f"The model `{asked['model']}` does not exist."}})
                    return
                ids = outer.turn[: asked["max_tokens"]]
                choice = {"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}}
                self.say(200, {"choices": [choice]})

            def say(self, code, content):
                body = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def listed(self):
        for adapter in self.adapters:
            yield {"id": adapter, "root": "/somewhere", "parent": self.name, "max_model_len": None}
        yield {"id": self.name, "root": "runs/sft", "parent": None, "max_model_len": self.longest}

    def close(self):
        self.http.shutdown()
        self.http.server_close()
