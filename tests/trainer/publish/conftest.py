"""A stand-in for the Hub on the loopback: it records what is sent. What the real Hub would say to it is not tested."""

import hashlib
import json
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants


class Recorder:
    """Every call, and the files that a commit names, with their bytes."""

    def __init__(self):
        self.calls: list[tuple[str, str]] = []
        self.objects: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.created: dict | None = None
        self.tokens: set[str | None] = set()
        self.refuse = False


def _handler(hub: Recorder):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def answer(self, value, status=200):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def body(self):
            hub.calls.append((self.command, self.path))
            hub.tokens.add(self.headers.get("Authorization"))
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_PUT(self):
            body = self.body()
            hub.objects[self.path.rpartition("/")[2]] = body
            self.answer({})

        def do_GET(self):
            self.body()
            self.answer({"error": "not found"}, 404)

        def do_POST(self):
            body = self.body()
            here = f"http://{self.headers['Host']}"
            if hub.refuse:
                self.answer({"error": "no rights"}, 403)
            elif self.path == "/api/repos/create":
                hub.created = json.loads(body)
                self.answer({"url": f"{here}/{hub.created.get('organization')}/{hub.created['name']}"})
            elif self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                modes = {name: "lfs" if name.endswith((".safetensors", ".parquet")) else "regular"
                         for name in (file["path"] for file in json.loads(body)["files"])}  # fmt: skip
                files = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
                self.answer({"files": files})
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{here}/lfs/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]
                ]
                self.answer({"transfer": "basic", "objects": objects})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = b64decode(line["value"]["content"])
                    elif line["key"] == "lfsFile":
                        content = hub.objects[line["value"]["oid"]]
                        assert hashlib.sha256(content).hexdigest() == line["value"]["oid"]
                        hub.files[line["value"]["path"]] = content
                place = self.path.removeprefix("/api/").removeprefix("models/").partition("/commit/")[0]
                url = f"{here}/{place}/commit/{'1' * 40}"
                self.answer({"commitUrl": url, "commitOid": "1" * 40, "pullRequestUrl": None})
            else:
                self.answer({"error": self.path}, 404)

    return Handler


@pytest.fixture
def hub(monkeypatch):
    recorder = Recorder()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(recorder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("ENDPOINT", "HF_ENDPOINT"):
        monkeypatch.setattr(constants, name, address, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_madeUpForTheRecorder0")
    yield recorder
    server.shutdown()
    server.server_close()
