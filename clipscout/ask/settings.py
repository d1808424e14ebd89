"""Which models do the work: who captions, who answers about clips, who navigates. Each may be missing."""

from dataclasses import dataclass, field
from pathlib import Path

from data_gen.captions import CaptionSettings
from data_gen.frames import FrameRecipe
from data_gen.lines.settings import LineSettings
from navigation import DEFAULT_TOOLS, InputError, SearchSettings
from runtime import BodyOptions, Budget, Endpoint, EndpointSettings
from runtime.budget import PRICES, PriceTable

CAPTION_START = "vllm serve Qwen/Qwen2.5-VL-7B-Instruct --port 8001"
POLICY_START = "vllm serve CHECKPOINT --port 8000 --enable-auto-tool-choice --tool-call-parser hermes"
STUB_START = "python -m runtime.testing.caption_server --port 8099"
ATTEMPTS, FIRST_WAIT = 3, 0.3
"""Few and short: somebody is waiting for the answer."""
NEVER_DOWN = 1_000_000
"""A server that is started again must be found again by a page that stayed open."""


class LimitReached(InputError):
    """The limit on money leaves no room for the next request, which was not sent."""


class ModelUnavailable(InputError):
    """A model behind an endpoint does not answer: no fault of who asks."""


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible endpoint as given on the command line; `url` is empty where there is none."""

    url: str = ""
    model: str = ""
    timeout: float = 120.0
    request: str = ""

    def endpoint_settings(self, what: str) -> EndpointSettings | None:
        """Settings for an endpoint client; None without an address.

        Raises:
            InputError: an address without a model, a model without an address, or no address at all in `url`.
        """
        if not self.url and not self.model:
            return None
        if not self.url or not self.model:
            missing = "url" if not self.url else "model"
            raise InputError(what, f"--{what}-{missing}", "", f"give --{what}-url and --{what}-model together")
        return EndpointSettings(
            self.url,
            self.model,
            16,
            ATTEMPTS,
            self.timeout,
            first_wait=FIRST_WAIT,
            longest_wait=3.0,
            down_after=NEVER_DOWN,
            body=BodyOptions.load(self.request),
        )


@dataclass(frozen=True, slots=True)
class AskSettings:
    """Everything `ask` and `serve` need to know besides what is asked about.

    Args:
        policy: `descent` (a rule), another rule's name, `local` or `endpoint`.
        checkpoint: Of `local`: folder or Hub name.
        temperature: Of a model that navigates.
        policy_server: Of `endpoint`.
        captioner: Writes captions on demand; without one a video needs subtitles or a tree.
        clips: Answers `video_qa` from frames; default: the captioner's. Without one, timed lines answer.
        frames, sides: Of a segment to caption, leaves first.
        turns: Most assistant messages of an episode.
        tools: What an episode has.
        search: What a search looks at and tells.
        cache: Folder of on-demand captions; None: beside the video.
        seed: Of the policy.
        prices: Price table (YAML).
        lines: Where timed texts come from.
        budget: Limit on money, shared by all endpoints for as long as the process runs.
    """

    policy: str = "descent"
    checkpoint: str = ""
    temperature: float = 0.0
    policy_server: Server = field(default_factory=Server)
    captioner: Server = field(default_factory=Server)
    clips: Server = field(default_factory=Server)
    frames: tuple[int, ...] = FrameRecipe().frames
    sides: tuple[int, ...] = FrameRecipe().sides
    turns: int = 15
    tools: tuple[str, ...] = DEFAULT_TOOLS
    search: SearchSettings = field(default_factory=SearchSettings)
    cache: Path | None = None
    seed: int = 0
    prices: Path = PRICES
    lines: LineSettings = field(default_factory=LineSettings)
    budget: Budget = field(default_factory=Budget, compare=False)

    def endpoint(self, settings: EndpointSettings) -> Endpoint:
        """A client whose requests are counted against the limit.

        Raises:
            InputError: there is a limit, and the price table does not know the model.
        """
        return Endpoint(settings, PriceTable(self.prices), self.budget)

    def caption_settings(self, lines: str = "subtitles") -> CaptionSettings:
        """Of captions by the endpoint, or where there is none by `lines`: `subtitles`, or `lines` of any source."""
        if self.captioner.endpoint_settings("caption") is None:
            return CaptionSettings(lines, lines=self.lines)
        recipe = FrameRecipe(self.frames, self.sides)
        return CaptionSettings(model=self.captioner.model, recipe=recipe, lines=self.lines)

    @property
    def clip_server(self) -> Server:
        return self.clips if self.clips.url or self.clips.model else self.captioner
