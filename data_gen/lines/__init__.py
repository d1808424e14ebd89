"""Timed texts of a video: subtitles, speech that is heard, text that is read on screen, annotations."""

from data_gen.lines.subtitles import SUBTITLES, SUFFIXES, read_subtitles
from data_gen.lines.timed_lines import TimedLines, together
from data_gen.lines.tracks import Subtitles, find_subtitles

__all__ = ["SUBTITLES", "SUFFIXES", "Subtitles", "TimedLines", "find_subtitles", "read_subtitles", "together"]
