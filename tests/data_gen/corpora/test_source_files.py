import shutil

import pytest

from data_gen.corpora import CORPORA, load_corpus
from data_gen.corpora.source_files import WANTED
from navigation import InputError


@pytest.mark.parametrize("corpus", list(WANTED))
@pytest.mark.parametrize("state", ["missing", "empty", "without"])
def test_a_folder_that_will_not_do_is_one_line_with_what_where_and_who(corpus, state, tmp_path):
    folder = tmp_path / "data"
    if state != "missing":
        folder.mkdir()
    if state == "without":
        (folder / "holiday.mp4").touch()
    with pytest.raises(InputError) as caught:
        load_corpus(corpus, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert state in message
    assert f"corpus {corpus} wants {WANTED[corpus][0][0]}" in message
    for other in WANTED:
        assert f"{other} wants {WANTED[other][0][0]}" in message


@pytest.mark.parametrize("corpus", list(WANTED))
@pytest.mark.parametrize("other", list(WANTED))
def test_a_folder_of_another_corpus_is_named(corpus, other, small):
    if corpus == other:
        return
    with pytest.raises(InputError) as error:
        load_corpus(corpus, small(other))
    assert error.value.field == "folder"
    assert f"looks like {other}" in error.value.hint


def test_a_folder_above_the_right_one_is_pointed_down(small):
    folder = small("goalstep")
    with pytest.raises(InputError) as error:
        load_corpus("goalstep", folder.parent)
    assert error.value.field == "folder"
    assert "goalstep below it" in error.value.hint


def test_one_missing_file_of_several_is_the_one_that_is_named(small):
    folder = small("nextgqa")
    (folder / "gsub_val.json").unlink()
    with pytest.raises(InputError) as error:
        load_corpus("nextgqa", folder)
    assert error.value.field == "folder"
    assert "gsub_val.json" in error.value.value


def test_two_splits_are_not_mixed(small):
    folder = small("goalstep")
    shutil.copy(folder / "goalstep_valid.json", folder / "goalstep_train.json")
    with pytest.raises(InputError) as error:
        load_corpus("goalstep", folder)
    assert error.value.field == "folder"
    assert error.value.value == "goalstep_train.json, goalstep_valid.json"
    assert load_corpus("goalstep", folder / "goalstep_train.json").questions


@pytest.mark.parametrize("corpus", ["goalstep", "hirest", "cgbench", "mlvu"])
@pytest.mark.parametrize(
    "text", ["", "{", "[1, ", "not json", "\x00", "[" * 100_000, "1" * 5000, '"text"', "7", "null"]
)
def test_a_file_that_is_no_such_corpus_is_an_input_error(corpus, text, small):
    folder = small(corpus)
    path = next(folder.iterdir())
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_corpus(corpus, folder)
    assert error.value.source == str(path)


def test_a_file_that_is_no_text_is_an_input_error(small):
    folder = small("goalstep")
    (folder / "goalstep_valid.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError) as error:
        load_corpus("goalstep", folder)
    assert error.value.source == str(folder / "goalstep_valid.json")


@pytest.mark.parametrize("name", ["val.csv", "gsub_val.json", "captions_1fps.zip"])
def test_each_file_of_nextgqa_is_checked(name, small):
    folder = small("nextgqa")
    (folder / name).write_text("nonsense")
    with pytest.raises(InputError) as error:
        load_corpus("nextgqa", folder)
    assert error.value.source == str(folder / name)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError) as error:
        load_corpus("goalsteps", "/anywhere")
    assert error.value.field == "name"
    assert all(name in error.value.hint for name in CORPORA)


@pytest.mark.parametrize("limit", [0, -3, True, 2.5])
def test_a_senseless_limit_is_refused(limit, small):
    with pytest.raises(InputError) as error:
        load_corpus("goalstep", small("goalstep"), limit=limit)
    assert error.value.field == "limit"
