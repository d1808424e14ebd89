"""A stand-in for the Hub on the loopback: it records what is sent. What the real Hub would say to it is not tested."""

import hashlib
import json
from base64 import b64decode

import pytest
from huggingface_hub import constants

from runtime.testing.scripted_server import Raw, ScriptedServer


class Hub:
    """Every call, and the files that a commit names, with their bytes."""

    def __init__(self):
        self.calls: list[tuple[str, str]] = []
        self.objects: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.created: dict | None = None
        self.tokens: set[str | None] = set()
        self.refuse = False

    async def __call__(self, request):
        self.calls.append((request.method, request.path))
        self.tokens.add(request.headers.get("authorization"))
        if request.method == "PUT":
            self.objects[request.path.rpartition("/")[2]] = request.body
            return Raw(200, {})
        if request.method == "GET":
            return Raw(404, {"error": "not found"})
        if self.refuse:
            return Raw(403, {"error": "no rights"})
        here, path = f"http://{request.headers['host']}", request.path
        if path == "/api/repos/create":
            self.created = request.json()
            return Raw(200, {"url": f"{here}/{self.created.get('organization')}/{self.created['name']}"})
        if path == "/api/validate-yaml":
            return Raw(200, {"errors": [], "warnings": []})
        if "/preupload/" in path:
            names = [file["path"] for file in request.json()["files"]]
            modes = ["lfs" if name.endswith((".safetensors", ".parquet")) else "regular" for name in names]
            files = [
                {"path": name, "uploadMode": mode, "shouldIgnore": False}
                for name, mode in zip(names, modes, strict=True)
            ]
            return Raw(200, {"files": files})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{here}/lfs/{each['oid']}"}}}
                for each in request.json()["objects"]
            ]
            return Raw(200, {"transfer": "basic", "objects": objects})
        if "/commit/" not in path:
            return Raw(404, {"error": path})
        for line in map(json.loads, request.body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                content = self.objects[line["value"]["oid"]]
                assert hashlib.sha256(content).hexdigest() == line["value"]["oid"]
                self.files[line["value"]["path"]] = content
        place = path.removeprefix("/api/").removeprefix("models/").partition("/commit/")[0]
        url = f"{here}/{place}/commit/{'1' * 40}"
        return Raw(200, {"commitUrl": url, "commitOid": "1" * 40, "pullRequestUrl": None})


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    with ScriptedServer(hub) as server:
        for name in ("ENDPOINT", "HF_ENDPOINT"):
            monkeypatch.setattr(constants, name, server.url, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_madeUpForTheRecorder0")
        yield hub
