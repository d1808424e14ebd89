"""A policy server without a model: the few of vLLM's answers that the asynchronous engine asks for."""

import json

from runtime.testing.scripted_server import Raw, ScriptedServer


class PolicyStub(ScriptedServer):
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
        super().__init__(self._answer)

    async def _answer(self, request):
        if request.method == "GET":
            return Raw(200, {"data": [*self.listed()]} if request.path == "/v1/models" else {})
        asked = json.loads(request.body or b"{}")
        self.asked.append(asked["model"])
        if asked["model"] != self.name:
            return Raw(404, {"error": {"message": f"The model `{asked['model']}` does not exist."}})
        ids = self.turn[: asked["max_tokens"]]
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}}
        return Raw(200, {"choices": [choice]})

    def listed(self):
        for adapter in self.adapters:
            yield {"id": adapter, "root": "/somewhere", "parent": self.name, "max_model_len": None}
        yield {"id": self.name, "root": "runs/sft", "parent": None, "max_model_len": self.longest}
