"""Names of languages, as files, tracks, models and people write them, to one code."""

# ISO 639-1, then 639-2 and the English name, of the languages that Whisper knows best.
_ROWS = """
ar ara arabic, bg bul bulgarian, bn ben bengali, ca cat catalan, cs cze ces czech, cy wel cym welsh, da dan danish,
de ger deu german, el gre ell greek, en eng english, es spa spanish castilian, et est estonian, eu baq eus basque,
fa per fas persian farsi, fi fin finnish, fr fre fra french, gl glg galician, he heb iw hebrew, hi hin hindi,
hr hrv croatian, hu hun hungarian, hy arm hye armenian, id ind in indonesian, is ice isl icelandic, it ita italian,
ja jpn japanese, ka geo kat georgian, kk kaz kazakh, ko kor korean, lt lit lithuanian, lv lav latvian,
mk mac mkd macedonian, ml mal malayalam, mr mar marathi, ms may msa malay, ne nep nepali, nl dut nld dutch flemish,
no nor nb nob nn nno norwegian, pl pol polish, pt por portuguese, ro rum ron romanian, ru rus russian,
sk slo slk slovak, sl slv slovenian, sq alb sqi albanian, sr srp serbian, sv swe swedish, sw swa swahili,
ta tam tamil, te tel telugu, th tha thai, tl tgl fil tagalog, tr tur turkish, uk ukr ukrainian, ur urd urdu,
vi vie vietnamese, zh chi zho cmn chinese mandarin
"""
_CODES = {name: row.split()[0] for row in _ROWS.split(",") for name in row.split()}
_UNKNOWN = {"", "und", "unk", "mis", "mul", "zxx", "qaa"}


def language_code(name: str | None) -> str:
    """`en` for `en`, `eng`, `English` and `EN_us`'s first part, which keeps its region: `en-us`; "" if there is none.

    A name that is not known stays as it is, in lower case.
    """
    name = (name or "").strip().lower().replace("_", "-")
    first, dash, region = name.partition("-")
    code = _CODES.get(first, "" if first in _UNKNOWN else first)
    return code + dash + region if code else ""


def of_language(found: str, wanted: str) -> bool:
    """Whether a language is the one that is wanted: without a region any region of it."""
    found, wanted = language_code(found), language_code(wanted)
    return bool(wanted) and (found == wanted or found.startswith(f"{wanted}-"))
