"""Which folder stands for an address, and back?"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labapp.config import LabError, addresses, is_remote, place, shown

PART = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=4)
PARTS = st.lists(PART.filter(lambda part: part != "."), min_size=1, max_size=3)


@given(PARTS)
def test_a_folder_says_for_which_address_it_stands(parts):
    address = f"s3://{'/'.join(parts)}"
    folder = place(address)
    assert folder.parent == addresses.kept_folder()
    assert is_remote(folder)
    assert shown(folder) == address
    assert shown(folder / "run" / "layers") == f"{address}/run/layers"
    assert addresses.archive_of(folder / "run" / "layers") == folder
    assert place(Path(address)) == place(folder) == folder  # a Path keeps one of the two strokes


def test_a_part_that_is_a_dot_is_none():
    assert place("s3://bucket/./runs/.") == place("s3://bucket/runs") == place(Path("s3://bucket/./runs"))
    with pytest.raises(LabError, match=r"'s3://\.' names no archive"):
        place("s3://.")


@pytest.mark.parametrize("word", ["runs", "/data/runs", "../runs", "a:b", "C:/runs", Path("runs"), Path("/")])
def test_a_folder_stays_a_folder(word):
    assert place(word) == addresses.place_of_run(word) == Path(word)
    assert not is_remote(place(word))
    assert shown(place(word)) == str(Path(word))


def test_a_file_address_is_a_folder_of_this_machine(tmp_path):
    assert place(tmp_path.as_uri()) == tmp_path
    assert addresses.place_of_run(tmp_path.as_uri()) == tmp_path


def test_a_runs_address_names_its_archive_and_it():
    assert addresses.place_of_run("s3://bucket/all/runs/a.1/") == place("s3://bucket/all/runs") / "a.1"
    assert addresses.place_of_run(Path("s3://bucket/runs") / "a") == place("s3://bucket/runs") / "a"


def test_services_with_buckets_of_one_name_do_not_mix(monkeypatch):
    usual = place("s3://bucket/runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    assert place("s3://bucket/runs") != usual
    assert shown(place("s3://bucket/runs")) == "s3://bucket/runs"
    assert place("gs://bucket/runs").name == "gs+bucket+runs"


@pytest.mark.parametrize(
    ("word", "said"), [("s3://", "names no archive"), ("s3:///", "names no archive"), (f"s3://{'a' * 300}", "too long")]
)
def test_an_address_that_names_nothing_is_one_sentence(word, said):
    with pytest.raises(LabError, match=said) as raised:
        place(word)
    assert "\n" not in str(raised.value)
