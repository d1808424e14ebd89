from itertools import pairwise

import pytest

from data_gen.lines import TimedLines, find_subtitles, read_subtitles
from navigation import InputError, Line

SRT = (
    "1\r\n00:00:01,500 --> 00:00:02,000\r\n<i>Hi</i> &amp; {\\an8}bye\r\nsecond row\r\n\r\n"
    "2\r\n01:00:00,000 --> 01:00:01,000\r\nlate\r\n"
)
VTT = (
    "WEBVTT\n\nNOTE no cue\n\nid\n00:01.500 --> 00:02.000 align:start\n<c.x>Hi</c> &amp; bye\nsecond row\n\n"
    "NOTE\nfor the\neditor\n\nlast\n1:00:00.000 --> 1:00:01.000\n<v Hana Ito>la<00:00:01.000>te\n"
)


def said(start, end, text):
    return Line(start, end, text, "speech", "subtitles")


@pytest.fixture
def read(tmp_path):
    """Reads the text, or the bytes, of a subtitle file."""

    def make(content, name="a.srt"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_subtitles(tmp_path / name)

    return make


def cue(start, end, *rows):
    return "\n".join([f"00:00:{start:02},000 --> 00:00:{end:02},000", *rows, "", ""])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [SRT, VTT], ids=["srt", "vtt"])
def test_both_subtitle_formats(read, text, encoding):
    found = read(text.encode(encoding))
    assert found.lines == (said(1.5, 2.0, "Hi & bye second row"), said(3600.0, 3601.0, "late"))
    assert found.encoding == encoding
    assert found.problems == ()


TALKS = {
    "gb18030": "我不知道该跟你说什么。\n也许明天我们可以去看电影。",
    "big5": "我不知道該跟你說什麼。\n也許明天我們可以去看電影。",
    "cp932": "何を言えばいいのか分かりません。\n明日は映画を見に行きましょう。",
    "cp1251": "Я не знаю, что тебе сказать.\nМожет быть, завтра мы пойдём в кино.",
    "koi8_r": "Я не знаю, что тебе сказать.\nМожет быть, завтра мы пойдём в кино.",
    "cp1252": "Je ne sais pas quoi te dire.\nPeut-être que demain, là où tu es déjà allé.",
    "cp1250": "Nevím, co ti mám říct.\nMožná zítra půjdeme do kina.",
    "cp1254": "Bugün çok yorgunum, yarın görüşürüz.\nŞimdi gidiyoruz, çünkü geç oldu.",
}


@pytest.mark.parametrize("encoding", TALKS)
def test_old_encodings_are_read_and_said(read, encoding):
    found = read(cue(1, 2, TALKS[encoding]).encode(encoding))
    assert found.lines == (said(1.0, 2.0, TALKS[encoding].replace("\n", " ")),)
    assert found.encoding == encoding
    assert len(found.warnings()) == 1


@pytest.mark.parametrize("text", ["café", "“It’s fine” – they said…"])
def test_a_single_accent_is_western(read, text):
    assert read(f"1\n00:00:01,0 --> 00:00:02,0\n{text}\n".encode("cp1252")).lines[0].text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("你好", "gb18030"),
        ("今天天气怎么样", "gb18030"),
        ("Нет", "cp1251"),
        ("はい", "cp932"),
        ("東京駅", "cp932"),
        ("안녕", "euc_kr"),
    ],
)
def test_a_short_text_is_read_right_or_refused(read, text, encoding):
    data = cue(1, 2, text).encode(encoding)
    try:
        found = read(data)
    except InputError as refused:
        found = refused
    assert found.field == "encoding" if isinstance(found, InputError) else found.lines[0].text == text


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "subtitles"),
        (b"hello", "subtitles"),
        (b"\0\1\2 -->", "encoding"),
        (b"\xff\xfeh", "encoding"),
        (cue(2, 1, "backwards").encode(), "subtitles"),
    ],
)
def test_what_is_no_subtitle_file_is_refused(read, data, field):
    with pytest.raises(InputError) as error:
        read(data)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (
            "1\n" + cue(1, 2, "one").rstrip() + "\n2\n" + cue(3, 4, "two").rstrip() + "\n3\n" + cue(5, 6, "3"),
            ["one", "two", "3"],
        ),
        ("1\n" + cue(1, 2, "one", "", "still one") + "2\n" + cue(3, 4, "", "two"), ["one still one", "two"]),
        (cue(1, 2, "Count to", "42") + cue(3, 4, "on", "", "43"), ["Count to 42", "on 43"]),
        ("1\n" + cue(1, 2, "Count to", "42") + "2\n" + cue(3, 4, "44"), ["Count to 42", "44"]),
        ("1\n" + cue(1, 2, "2").rstrip() + "\n2\n" + cue(3, 4, "3"), ["2", "3"]),
        ("1\n" + cue(1, 2, "one") + "2\n\n" + cue(3, 4, "two") + "3", ["one", "two"]),
        (
            "WEBVTT\n\n" + cue(1, 2, "one").replace(",", ".").rstrip() + "\n" + cue(3, 4, "two").replace(",", "."),
            ["one", "two"],
        ),
        (
            cue(1, 2, r"in C:\New, from 00:00:01,000 to 00:00:02,000 on"),
            [r"in C:\New, from 00:00:01,000 to 00:00:02,000 on"],
        ),
    ],
)
def test_cues_begin_at_their_times(read, text, texts):
    found = read(text)
    assert [line.text for line in found.lines] == texts
    assert found.problems == ()


@pytest.mark.parametrize(
    ("times", "span"),
    [
        ("00: 00: 02, 500 --> 00: 00: 06, 000", (2.5, 6.0)),
        ("00:00:02:500 --> 00:00:06:000", (2.5, 6.0)),
        ("00:00:02,5000 --> 00:00:06,0000", (2.5, 6.0)),
        ("00:00:02,500 -> 00:00:06,000", (2.5, 6.0)),
        ("0:2.5-->0:6", (2.5, 6.0)),
        ("00:00:02,500 --> 00:00:06,000 X1:100 X2:200", (2.5, 6.0)),
        ("00:00:06,000 --> 00:00:06,000", (6.0, 6.0)),
        ("-00:00:02,500 --> 00:00:06,000", (0.0, 6.0)),
        ("00:00:06,000 --> 00:00:02,500", None),
        ("-00:00:06,000 --> -00:00:02,500", None),
        ("00:00:02:12 --> 00:00:06:20", None),
        ("00:00:0Z,500 --> 00:00:06,000", None),
        ("100:00:02,500 --> 100:00:06,000", None),
    ],
)
def test_odd_times_are_read_or_listed(read, times, span):
    found = read(cue(0, 1, "before") + f"{times}\nodd\n\n" + cue(8, 9, "after"))
    odd = [line for line in found.lines if line.text not in {"before", "after"}]
    assert odd == ([] if span is None else [said(*span, "odd")])
    assert len(found.lines) == 2 + len(odd)
    assert len(found.problems) == (span is None or times.startswith("-"))
    assert all(times in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("kind", "row", "text"),
    [
        ("srt", "If x < 3 and y > 5 then <b>stop</b>", "If x < 3 and y > 5 then stop"),
        ("srt", '<font color="#ff0000">red</FONT> {\\an8}top {laughs}', "red top {laughs}"),
        ("srt", "<Some years ago> &lt;i&gt;", "<Some years ago> <i>"),
        ("vtt", "<distant thunder> <c.yellow>a</c><00:00:01.200> <lang en>b</lang>", "<distant thunder> a b"),
    ],
)
def test_only_the_formats_own_tags_are_taken_off(read, kind, row, text):
    head = "WEBVTT\n\n" if kind == "vtt" else ""
    assert [line.text for line in read(head + cue(1, 2, row)).lines] == [text]


def test_a_cue_without_text_is_listed(read):
    found = read(cue(1, 2, "text") + cue(3, 4, "<i></i>") + cue(5, 6))
    assert [line.text for line in found.lines] == ["text"]
    assert len(found.problems) == 2
    assert "2 of its texts" in found.warnings()[0]


def test_rolling_captions_tell_each_row_once_from_when_it_appears(read):
    rows = ["one two", "three four", "five six", "seven"]
    text = "WEBVTT\n\n" + cue(0, 2, " ", f"{rows[0][:3]}<00:00:01.000><c>{rows[0][3:]}</c>").replace(",", ".")
    for number, (before, new) in enumerate(pairwise(rows), 1):
        text += cue(2 * number, 2 * number, before, " ").replace(",", ".")
        text += cue(2 * number, 2 * number + 2, before, new).replace(",", ".")
    assert read(text, "a.vtt").lines == tuple(said(2.0 * n, 2.0 * n + 2, row) for n, row in enumerate(rows))


def test_a_repeated_answer_is_no_rolling_caption(read):
    found = read(cue(1, 2, "Ready?") + cue(2, 3, "No.") + cue(3, 4, "No.") + cue(4, 5, "Now?") + cue(5, 6, "Yes."))
    assert [line.text for line in found.lines] == ["Ready?", "No.", "No.", "Now?", "Yes."]


def test_lines_past_the_end_are_listed():
    lines = TimedLines((Line(1.0, 2.0, "in"), Line(20.0, 21.0, "at the end"), Line(21.0, 22.0, "out")))
    found = lines.within(20.0)
    assert [line.text for line in found.lines] == ["in", "at the end"]
    assert len(found.problems) == 1
    assert lines.within(60.0) == lines


@pytest.mark.parametrize(("first", "offset"), [(3601.0, "3600 s"), (1200.0, "1200 s")])
def test_a_clock_that_starts_late_is_refused_with_the_offset_that_fits(first, offset):
    lines = TimedLines((Line(first, first + 4, "a"), Line(first + 8, first + 9, "b")))
    with pytest.raises(InputError) as error:
        lines.within(20.0)
    assert error.value.field == "times"
    assert "2 of 2" in error.value.value
    assert offset in error.value.hint


def test_subtitles_beside_the_video(tmp_path):
    video = tmp_path / "talk.one.mp4"
    (tmp_path / "talk.two.srt").touch()
    (tmp_path / "talk.srt").touch()
    assert find_subtitles(video) is None
    (tmp_path / "talk.one.en.vtt").touch()
    assert find_subtitles(video).path.name == "talk.one.en.vtt"
    (tmp_path / "talk.one.srt").touch()
    assert find_subtitles(video).path.name == "talk.one.srt"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.SRT", True),
        ("a.en.srt", True),
        ("a.pt-BR.vtt", True),
        ("a.en.forced.srt", True),
        ("a.1.srt", False),
        ("a.two.srt", False),
        ("ab.srt", False),
        ("a.srt.txt", False),
    ],
)
def test_subtitles_of_another_video_are_not_taken(tmp_path, name, found):
    (tmp_path / "a.two.MKV").touch()
    (tmp_path / name).touch()
    taken = find_subtitles(tmp_path / "a.mp4")
    assert (taken and taken.path) == (tmp_path / name if found else None)
