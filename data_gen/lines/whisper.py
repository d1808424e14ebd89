"""A Whisper model on this machine: CTranslate2 by faster-whisper, int8 on a CPU, float16 on a GPU."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.lines.heard import Heard, HeardSegment, Word
from data_gen.lines.pieces import missing_extra
from navigation import InputError
from runtime import file_identity

_MOST_CHARACTERS = 60
"""Of a loading error's text."""
_ENDLESS = 224
"""Tokens of a piece: more do not fit a decoder's context beside its prompt."""


class Whisper:
    """Hears pieces one after another. Make it with `load`, which keeps one a process.

    Args:
        name: A folder with a CTranslate2 model, or a name such as `small.en` that faster-whisper knows and downloads.
        device: `cpu`, `cuda`, or `auto`: the GPU if CTranslate2 sees one.
    """

    in_flight = 1

    def __init__(self, name: str, device: str = "auto") -> None:
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError:
            raise missing_extra() from None
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self.name, self.device = Path(name).name, device
        threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        kind = "float16" if device == "cuda" else "int8"
        folder = Path(name)
        try:
            if folder.is_dir():
                self._model = WhisperModel(name, device, compute_type=kind, cpu_threads=threads, local_files_only=True)
            else:
                self._model = WhisperModel(name, device, compute_type=kind, cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            hint = "give a folder with a CTranslate2 Whisper model, or a name such as small.en (downloaded once)"
            raise InputError("speech", "--speech-model", f"{name}: {str(error)[:_MOST_CHARACTERS]}", hint) from None
        self.multilingual = bool(self._model.model.is_multilingual)
        self._encode = self._model.encode
        self._model.encode = self._encode_once
        self._features: np.ndarray | None = None
        self._encoded: Any = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "whisper")

    async def hear(self, samples: np.ndarray, language: str = "") -> Heard:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.hear_now, samples, language)

    def hear_now(self, samples: np.ndarray, language: str = "") -> Heard:
        """What is said in one piece.

        Greedy and at temperature 0: the text of a piece depends on nothing but the piece.

        Args:
            samples: float32 [samples] at 16 kHz, at most 28 s.
            language: As `en`; "" finds it out for each piece.
        """
        with self._lock:
            segments, told = self._model.transcribe(
                samples,
                language=(language or None) if self.multilingual else "en",
                beam_size=1,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
                vad_filter=False,
                no_speech_threshold=None,
                max_new_tokens=_ENDLESS,
            )
            found = [
                HeardSegment(
                    float(each.start),
                    float(each.end),
                    each.text,
                    tuple(Word(float(word.start), float(word.end), word.word) for word in each.words or ()),
                    float(each.avg_logprob),
                    float(each.compression_ratio),
                    float(each.no_speech_prob),
                )
                for each in segments
            ]
            self._features = self._encoded = None
        return Heard(told.language, tuple(found))

    def _encode_once(self, features: np.ndarray) -> Any:
        # Finding the language and hearing encode the same sound but for its last frame; encoding is most of the work.
        frames = features.reshape(-1, features.shape[-1])  # [mels, frames]
        last = self._features
        if last is None or last.shape != frames.shape or (frames != last).any(axis=0).sum() > 1:
            self._features, self._encoded = frames, self._encode(features)
        return self._encoded


@lru_cache(1)
def load(name: str, device: str = "auto") -> Whisper:
    """The model, loaded once a process.

    Raises:
        InputError: the extra is not installed; there is no such model.
    """
    return Whisper(name, device)


def model_identity(name: str) -> dict[str, Any]:
    """What decides the text that a model writes: its name, or what is in its folder."""
    weights = Path(name) / "model.bin"
    return {"model": Path(name).name, **file_identity(weights)} if weights.is_file() else {"model": name}
