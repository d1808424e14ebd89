"""The text of a file that does not say its encoding: read right, or refused."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

from charset_normalizer import CharsetMatch, from_bytes
from charset_normalizer.constant import FREQUENCIES

from navigation import InputError

MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by the byte order mark that a file begins with."""

WESTERN = "cp1252"
_EAST_ASIAN = {"gb18030": "CJK", "big5": "CJK", "euc_kr": "HANGUL", "cp932": "KANA", "euc_jp": "KANA"}
OLD = [*_EAST_ASIAN, "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", WESTERN, "cp1250", "cp1254"]
"""What a file may be that has no mark and is not UTF-8."""

_SHARES = {"CJK": 0.98, "HANGUL": 0.9, "KANA": 0.1}
"""Least share of a text's East Asian letters: Japanese mixes kana with Chinese characters, the others hardly mix."""

_SIGNS = "‘’“”„‚–—…•«»‹›¡¿£€°©®™\xa0"
"""What a text without any letter beyond ASCII may hold."""

_WORD = re.compile(r"[^\W\d_]+")
# What a wrong encoding makes of letters: control and private characters, box drawing, half-width katakana; signs inside
# words; Hebrew points before any letter, and last letters inside words.
_NO_TEXT = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2500-\u25ff\ue000-\uf8ff\uff61-\uff9f\ufffd]"
    r"|[^\W\d_][‚„†‡ˆ‰‹›«»´°²³¹¤¦¬¯±¶¸¼½¾×÷]+[^\W\d_]"
    r"|[²³¹½¼¾¤¦¬¯±¶¸ˆ‰][^\W\d_a-zA-Z]|(?:^|\s)[\u05b0-\u05c7]|[ךםןףץ][א-ת]"
)


def decode(data: bytes, source: str | Path) -> tuple[str, str]:
    """A file's text and the name of its encoding: by its mark, UTF-8, or else as charset-normalizer guesses.

    A guess is taken if its words are of one script each, and if its letters are more familiar than those of every other
    such guess. Between Latin alphabets that fit equally well it is the Western European one.

    Raises:
        InputError: the bytes are no text, or might be text in several encodings.
    """
    hint = "save the file as UTF-8"
    marked = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if marked is None and b"\0" in data:
        raise InputError(source, "encoding", "binary data", "give a text file")
    try:
        return data.decode(marked or "utf-8"), marked or "utf-8"
    except UnicodeDecodeError as error:
        if marked is not None:
            raise InputError(source, "encoding", f"{marked}, byte {error.start}: {error.reason}", hint) from None
    guesses = [guess for guess in from_bytes(data, cp_isolation=OLD, threshold=1.0) if _is_text(guess)]
    best = max(map(_familiarity, guesses), default=0.0)
    likely = [guess for guess in guesses if 1.2 * _familiarity(guess) >= best]
    if all(_scripts(str(guess)).keys() <= {"LATIN"} for guess in likely):
        likely = [guess for guess in likely if _familiarity(guess) == best]
        likely = [guess for guess in likely if WESTERN in guess.could_be_from_charset] or likely
    if len(likely) != 1 or best < 0.2:
        found = " or ".join(guess.encoding for guess in likely)
        raise InputError(source, "encoding", found or "not known", hint)
    names = likely[0].could_be_from_charset
    return str(likely[0]), WESTERN if WESTERN in names else next(name for name in OLD if name in names)


def _familiarity(guess: CharsetMatch) -> float:
    """Share of the letters beyond ASCII that are among the most frequent of one language; 1 if there are none.

    Steadier on short texts than charset-normalizer's own coherence, which compares the order of the letters.
    """
    letters = Counter(letter for letter in str(guess).lower() if letter.isalpha() and not letter.isascii())
    known = max(sum(letters[letter] for letter in language) for language in FREQUENCIES.values())
    return known / letters.total() if letters else 1.0


def _is_text(guess: CharsetMatch) -> bool:
    """Whether a guess reads as a language: one script a word, small letters behind capitals."""
    text = str(guess)
    if _NO_TEXT.search(text):
        return False
    scripts = _scripts(text)
    if not scripts:
        return all(sign.isascii() or sign in _SIGNS for sign in text)
    east_asian = sum(scripts[script] for script in _SHARES)
    if own := _EAST_ASIAN.get(guess.encoding):
        return scripts[own] >= _SHARES[own] * east_asian and east_asian >= 0.9 * scripts.total()
    words = {word for word in _WORD.findall(text) if not word.isascii()}
    odd = sum(len(_scripts(word, ascii_too=True)) > 1 or not _one_case(word) for word in words)
    return not east_asian and odd <= 0.02 * len(words)


def _one_case(word: str) -> bool:
    return word.isupper() or word[1:] == word[1:].lower()


def _scripts(text: str, ascii_too: bool = False) -> Counter[str]:
    """Letters by script, as `LATIN` or `CYRILLIC`; those beyond ASCII only, unless `ascii_too`."""
    letters = Counter(letter for letter in text if letter.isalpha() and (ascii_too or not letter.isascii()))
    found: Counter[str] = Counter()
    for letter, count in letters.items():
        script = unicodedata.name(letter, "?").split()[0]
        found["KANA" if script.startswith(("HIRAGANA", "KATAKANA")) else script] += count
    return found
