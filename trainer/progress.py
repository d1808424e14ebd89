"""Progress bars for people, plain lines for files."""

import sys

import datasets
from transformers.utils import logging


def quiet_unless_watched() -> None:
    """Turns the libraries' progress bars off where nobody watches a terminal: a log keeps one line a message."""
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        logging.disable_progress_bar()
