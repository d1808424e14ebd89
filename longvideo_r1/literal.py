"""Reads a Python literal from untrusted text without evaluating it: bounded in length, depth and time.

Agrees with `ast.literal_eval` on what is a literal and what it is worth; the official score's quirks depend on both.
"""

import re
import unicodedata
from typing import Any

LONGEST = 20_000
"""Longer texts are no literal here; `ast.literal_eval` would read some of them."""
DEEPEST = 90
"""Brackets inside brackets; deeper texts are no literal."""

_SPACE = re.compile(r"(?:[ \t\f]|\\\r)*(?:#[^\r]*)?")
_EMPTY_LINES = re.compile(r"(?:[ \t\f]*(?:#[^\r]*)?\r)*")
_LEADING_LINES = re.compile(r"(?:\\\r|[ \t\f]*(?:#[^\r]*)?\r)*")
_INDENT = re.compile(r"(?:[ \t\f]*\f)?[ \t]")
_NUMBER = re.compile(
    r"0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+"
    r"|(?:[0-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*(?:[eE][+-]?[0-9](?:_?[0-9])*)?[jJ]?"
    r"|[0-9](?:_?[0-9])*\.?(?:[eE][+-]?[0-9](?:_?[0-9])*)?[jJ]?"
)
_SEGMENT = re.compile(r"\((?:(?:0|[1-9][0-9]{0,8}), ?){1,3}(?:0|[1-9][0-9]{0,8})\)")
_NAME = re.compile(r"[^\W\d]\w*")
_STRING = re.compile(r"([rRbBuU]{0,2})('''|\"\"\"|'|\")")
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|N\{([^}]*)\}|(.))", re.DOTALL
)
_PLAIN = {"\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CONSTANTS = {"True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class NotALiteral(ValueError):
    """The text is no literal, or too long or too deep to be read."""


def read_literal(text: str) -> Any:
    """The value that `text` writes: numbers, strings, bytes, tuples, lists, sets, dicts, True, False, None, Ellipsis.

    Raises:
        NotALiteral: anything else.
    """
    if _SEGMENT.fullmatch(text):  # what nearly every call passes
        return tuple(map(int, text[1:-1].split(",")))
    if len(text) > LONGEST or "\0" in text:
        raise NotALiteral
    reader = _Reader(text.replace("\r\n", "\r").replace("\n", "\r"))
    try:
        return reader.whole()
    except (TypeError, OverflowError) as error:  # an unhashable member, as in `{[]}`
        raise NotALiteral from error


class _Reader:
    """Recursive descent. Every parsed expression is `(kind, value)`; kinds say what may still be done with it."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> Any:
        lines = _LEADING_LINES.match(self.text)
        assert lines is not None
        self.at = lines.end()
        if self.at and _INDENT.match(self.text, self.at):  # Python calls this an unexpected indent
            raise NotALiteral
        items, comma, _ = self.items("")
        self.peek()
        rest = _EMPTY_LINES.match(self.text + "\r", self.at)
        if rest is None or rest.end() <= len(self.text):
            raise NotALiteral
        if not items:
            raise NotALiteral
        return tuple(items) if comma else items[0]

    def peek(self) -> str:
        while True:
            match = _SPACE.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            if self.depth and self.text.startswith("\r", self.at):
                self.at += 1
                continue
            return self.text[self.at : self.at + 1]

    def items(self, closing: str) -> tuple[list[Any], bool, list[str]]:
        """Comma-separated values up to `closing` (not consumed), whether there was a comma, and the values' kinds."""
        values: list[Any] = []
        kinds: list[str] = []
        comma = False
        while (head := self.peek()) and head not in (closing, "\r"):
            kind, value = self.expression()
            values.append(value)
            kinds.append(kind)
            if self.peek() != ",":
                break
            comma = True
            self.at += 1
        if comma or len(values) != 1:
            for kind in kinds:
                _finished(kind)
        elif not closing:
            _finished(kinds[0])
        return values, comma, kinds

    def expression(self) -> tuple[str, Any]:
        kind, value = self.unary()
        while (sign := self.peek()) and sign in "+-":
            self.at += 1
            right_kind, right = self.unary()
            if kind not in ("number", "signed") or right_kind != "number":
                raise NotALiteral
            if not isinstance(value, (int, float)) or not isinstance(right, complex):
                raise NotALiteral
            kind, value = "value", value + right if sign == "+" else value - right
        return kind, value

    def unary(self) -> tuple[str, Any]:
        sign = self.peek()
        if sign and sign in "+-":
            self.at += 1
            kind, value = self.atom()  # a second sign is no literal
            if kind != "number":
                raise NotALiteral
            return "signed", -value if sign == "-" else +value
        return self.atom()

    def atom(self) -> tuple[str, Any]:
        head = self.peek()
        if head and head in "([{":
            return self.bracket(head)
        if match := _STRING.match(self.text, self.at):
            return "value", self.strings(match)
        if self.text.startswith("...", self.at):
            self.at += 3
            return "value", ...
        if match := _NUMBER.match(self.text, self.at):
            self.at = match.end()
            return "number", _number(match.group())
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise NotALiteral
        self.at = match.end()
        name = match.group()
        if name in _CONSTANTS:
            return "value", _CONSTANTS[name]
        if unicodedata.normalize("NFKC", name) == "set":
            return self.called("name of set", None)
        raise NotALiteral

    def bracket(self, opening: str) -> tuple[str, Any]:
        self.at += 1
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotALiteral
        closing = _CLOSING[opening]
        result: tuple[str, Any]
        if opening == "{":
            result = "value", self.set_or_dict()
        else:
            values, comma, kinds = self.items(closing)
            if opening == "(" and len(values) == 1 and not comma:
                result = kinds[0], values[0]
            else:
                for kind in kinds:
                    _finished(kind)
                result = "value", tuple(values) if opening == "(" else values
        if self.peek() != closing:
            raise NotALiteral
        self.at += 1
        self.depth -= 1
        return self.called(*result)

    def called(self, kind: str, value: Any) -> tuple[str, Any]:
        """`set()` is the one call that is a literal."""
        if kind == "name of set" and self.peek() == "(":
            self.at += 1
            self.depth += 1
            if self.peek() != ")":
                raise NotALiteral
            self.at += 1
            self.depth -= 1
            return "value", set()
        return kind, value

    def set_or_dict(self) -> Any:
        if self.peek() == "}":
            return {}
        keys: list[Any] = []
        values: list[Any] = []
        while (head := self.peek()) and head != "}":
            keys.append(self.member())
            if self.peek() == ":":
                self.at += 1
                values.append(self.member())
            if values and len(values) != len(keys):
                raise NotALiteral
            if self.peek() != ",":
                break
            self.at += 1
        return dict(zip(keys, values, strict=True)) if values else set(keys)

    def member(self) -> Any:
        kind, value = self.expression()
        _finished(kind)
        return value

    def strings(self, match: re.Match[str] | None) -> str | bytes:
        """One string or bytes literal, and what directly follows it of the same sort."""
        parts: list[Any] = []
        while match is not None:
            parts.append(self.string(match))
            if isinstance(parts[-1], bytes) != isinstance(parts[0], bytes):
                raise NotALiteral
            self.peek()
            match = _STRING.match(self.text, self.at)
        return parts[0][:0].join(parts)

    def string(self, match: re.Match[str]) -> str | bytes:
        prefix, quote = match.group(1).lower(), match.group(2)
        if prefix not in ("", "r", "b", "u", "rb", "br"):
            raise NotALiteral
        begin = end = match.end()
        while not self.text.startswith(quote, end):
            if end >= len(self.text) or (len(quote) == 1 and self.text[end] == "\r"):
                raise NotALiteral
            end += 2 if self.text[end] == "\\" else 1
        self.at = end + len(quote)
        body = self.text[begin:end].replace("\r", "\n")
        if "b" in prefix and not body.isascii():
            raise NotALiteral
        if "r" not in prefix:
            body = _ESCAPE.sub(lambda found: _escaped(found, "b" in prefix), body)
        return bytes(map(ord, body)) if "b" in prefix else body


def _finished(kind: str) -> None:
    if kind == "name of set":
        raise NotALiteral


def _escaped(found: re.Match[str], in_bytes: bool) -> str:
    octal, byte, short, long, name, plain = found.groups()
    if octal is not None:
        return chr(int(octal, 8) & 0xFF) if in_bytes else chr(int(octal, 8))
    if byte is not None:
        return chr(int(byte, 16))
    if in_bytes and plain is None:
        return found.group()
    code = short or long
    if code is not None:
        if int(code, 16) > 0x10FFFF:
            raise NotALiteral
        return chr(int(code, 16))
    if name is not None:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            raise NotALiteral from None
    if plain == "\n":
        return ""
    if plain in ("x", "u", "U", "N") and (plain == "x" or not in_bytes):
        raise NotALiteral
    return _PLAIN.get(plain, found.group())


def _number(text: str) -> int | float | complex:
    digits = text.replace("_", "").lower()
    if digits[:2] in ("0x", "0o", "0b"):
        return int(digits, 0)
    if digits.endswith("j"):
        return complex(0.0, float(digits[:-1]))
    if "." in digits or "e" in digits:
        return float(digits)
    if digits[0] == "0" and digits.strip("0"):
        raise NotALiteral
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        raise NotALiteral from None
