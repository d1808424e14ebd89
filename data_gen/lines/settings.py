"""Where a video's lines come from."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from navigation import InputError
from runtime import EndpointSettings

AUTO, SUBTITLES, HEARD, READ = "auto", "subtitles", "speech", "screen"
SOURCES = (AUTO, SUBTITLES, HEARD, READ)


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Settings of the lines of a run.

    Args:
        sources: Of `SOURCES`. `auto`: the subtitles if there are any, else speech if there is a model for it.
        subtitle_language: Which subtitles to read, as `en`; "" lets the files and the sound decide.
        audio_language: Which sound track to hear; "" the default one.
        speech_language: Language that is spoken; "" is found out for each piece.
        speech_model: Folder or name of a Whisper model; with an endpoint, its name there.
        speech_endpoint: Who hears, if not this machine.
    """

    sources: tuple[str, ...] = (AUTO,)
    subtitle_language: str = ""
    audio_language: str = ""
    speech_language: str = ""
    speech_model: str = ""
    speech_endpoint: EndpointSettings | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.sources if name not in SOURCES]
        if unknown or not self.sources:
            hint = f"give one of {', '.join(SOURCES)}, or several with commas between"
            raise InputError("lines", "source", ",".join(self.sources), hint)
        if HEARD in self.sources and not self.speech_model:
            hint = "give --speech-model: a folder with a CTranslate2 Whisper model, or a name such as small.en"
            raise InputError("lines", "--speech-model", self.speech_model, hint)
        if self.speech_endpoint is not None and not self.speech_model:
            raise InputError("lines", "--speech-model", "", "give --speech-url and --speech-model together")

    def check(self) -> None:
        """Refuses sources whose extra is not installed.

        Raises:
            InputError: with the command that installs it.
        """
        if self.hears and find_spec("faster_whisper") is None:
            raise InputError("speech", "faster-whisper", "not installed", "pip install 'clipscout[speech]'")
        if READ in self.sources and (find_spec("rapidocr") is None or find_spec("onnxruntime") is None):
            raise InputError("screen", "rapidocr", "not installed", "pip install 'clipscout[screen]'")

    @property
    def hears(self) -> bool:
        """Whether there is a model for speech that may be asked."""
        return bool(self.speech_model) and (HEARD in self.sources or AUTO in self.sources)

    @property
    def makes(self) -> bool:
        """Whether lines may have to be made, which takes time."""
        return self.hears or READ in self.sources

    def to_dict(self) -> dict[str, Any]:
        """What decides the lines and differs from the defaults: runs of before had no other."""
        record: dict[str, Any] = {"sources": list(self.sources)} if self.sources != (AUTO,) else {}
        named = {name: getattr(self, name) for name in ("subtitle_language", "audio_language")}
        if self.hears:
            from data_gen.lines.whisper import model_identity

            model = model_identity(self.speech_model) if self.speech_endpoint is None else self.speech_model
            named |= {"speech": model, "speech_language": self.speech_language}
        return record | {name: value for name, value in named.items() if value}


def line_settings(
    sources: str,
    subtitle_language: str = "",
    audio_language: str = "",
    speech_model: str = "",
    speech_url: str = "",
    speech_language: str = "",
) -> LineSettings:
    """Settings from the options of a command.

    Raises:
        InputError: no such source, or one that cannot work.
    """
    endpoint = EndpointSettings(speech_url, speech_model, in_flight=4, attempts=5) if speech_url else None
    names = tuple(dict.fromkeys(name.strip() for name in sources.split(",") if name.strip()))
    settings = LineSettings(names, subtitle_language, audio_language, speech_language, speech_model, endpoint)
    settings.check()
    return settings
