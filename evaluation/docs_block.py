"""Generated parts of a page: what stands between two markers is replaced, the rest is left alone."""

from pathlib import Path

from navigation import InputError, write_atomic


def replace_block(page: str | Path, name: str, text: str) -> None:
    """Puts `text` between `<!-- NAME begins -->` and `<!-- NAME ends -->` of a Markdown page.

    Raises:
        InputError: no such page, or without its markers.
    """
    page = Path(page)
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    if not page.is_file():
        raise InputError(page, "page", str(page), "give the folder of the docs")
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(page, "markers", name, f"put {begin} and {end} where the generated part goes")
    write_atomic(page, f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
