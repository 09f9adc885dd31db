"""What goes wrong with a store is one sentence, and costs nothing that was recorded."""

import socket
import sys
import warnings

import pandas as pd
import pytest

from labapp.config import Experiment, LabError, place
from labapp.store import Run, RunWriter, find_run, label_run, list_runs, look, send_left
from labapp.store.appending import StoreWarning
from labapp.store.remote import objects, room, sending
from tests.remote.conftest import edit_there, stored
from tests.store.examples import make, one_step


def sentence(work):
    with pytest.raises(LabError) as raised:
        work()
    said = str(raised.value)
    assert "\n" not in said
    return said


@pytest.fixture
def nowhere(archive, monkeypatch):
    """A port at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr("labapp.store.remote.s3.CONFIG", {"connect_timeout": 2, "retries": {"max_attempts": 0}})
    return f"http://127.0.0.1:{port}"


def test_a_store_that_does_not_answer(archive, nowhere, monkeypatch):
    make(archive, "run")
    list_runs(archive)
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    assert "s3://bucket/runs cannot be reached" in sentence(lambda: look(archive))
    assert "s3://bucket/runs cannot be reached" in sentence(lambda: RunWriter.create(archive, Experiment()))
    assert not place(archive).exists()


def test_a_bucket_that_is_not_there(archive):
    said = "s3://other/runs is not there: there is no bucket 'other' .*; make it first"
    for work in (lambda: look("s3://other/runs"), lambda: RunWriter.create("s3://other/runs", Experiment())):
        with pytest.raises(LabError, match=said):
            work()


def test_a_bucket_without_runs_is_no_archive_yet(archive):
    assert sentence(lambda: look(archive)).startswith(
        "there is no archive at s3://bucket/runs; `labapp starter` makes one"
    )


def test_no_credentials_and_wrong_ones(archive, machine, server, monkeypatch, tmp_path):
    from urllib.request import Request, urlopen

    make(archive, "run")

    def ask_for_credentials(after):
        plain = {"Content-Type": "text/plain"}
        urlopen(Request(f"{server}/moto-api/reset-auth", data=after, headers=plain, method="POST"))

    ask_for_credentials(b"0")
    try:
        assert "refuses these credentials" in sentence(lambda: RunWriter.create(archive, Experiment()))
    finally:
        ask_for_credentials(b"inf")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    objects._opened.cache_clear()
    with machine("two"):
        assert "credentials" in sentence(lambda: look(archive))
    objects._opened.cache_clear()


def test_without_s3fs_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, "labapp.store.remote.s3", raising=False)
    objects._opened.cache_clear()
    said = "needs s3fs, which is not installed; `pip install 'labapp[s3]'` installs it"
    assert said in sentence(lambda: objects.objects_at("s3://bucket/runs"))


def test_a_store_of_an_unknown_kind():
    assert "no kind of store that fsspec knows (did you mean 'gcs'?)" in sentence(
        lambda: objects.objects_at("gccs://a/b")
    )


def test_a_store_that_goes_away_costs_nothing_and_its_rows_are_sent_later(archive, machine, monkeypatch):
    monkeypatch.setattr(sending, "SOONEST", 0.0)
    writer = RunWriter.create(archive, Experiment(), run_id="run")
    store, put = writer._lease._mirror.objects, type(writer._lease._mirror.objects).put

    def refused(*_):
        raise OSError("the disk of the store is full")

    with monkeypatch.context() as broken:
        broken.setattr(type(store), "put", lambda self, *given: _told(self, refused))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for step in range(4):
                writer.write("steps", one_step(step))
                writer.flush()
                writer._lease._sending and writer._lease._sending.exception()
        assert [str(each.message) for each in said if each.category is StoreWarning] == [
            f"run 'run' waits in {writer.path} to be sent: {archive} cannot be used: the disk of the store is full"
        ]
        left = sentence(writer.finish)
        assert f"run 'run' lies whole in {writer.path}, but was not sent (s3://bucket/runs cannot be used: " in left
        assert left.endswith("; `labapp runs send --root s3://bucket/runs` sends it")
    assert type(store).put is put
    assert Run(writer.path).status == "finished"
    with machine("two"):
        assert len(find_run("run", archive).steps()) < 4
    with machine("one"):
        assert send_left(archive) == (["run"], [])
        assert send_left(archive) == ([], [])
    with machine("three"):
        run = find_run("run", archive)
        assert (run.status, run.steps()["step"].tolist(), run.problems) == ("finished", [0, 1, 2, 3], [])


def _told(store, work):
    with store.told():
        work()


def test_a_probe_that_could_not_be_sent_stays_and_is_sent_later(archive, machine, monkeypatch):
    run = make(archive, "run")
    run.write_probe("lesions", 0, pd.DataFrame({"error": [0.1]}))
    with monkeypatch.context() as broken:
        broken.setattr(type(objects.objects_at(archive)), "_call", lambda *_, **__: 1 / 0)
        said = sentence(lambda: run.write_probe("lesions", 0, pd.DataFrame({"error": [0.5]})))
    assert f"{run.path}/probes/lesions.step-00000000.parquet was written, but not sent" in said
    assert "`labapp runs send --root s3://bucket/runs` sends it" in said
    with machine("one"):
        assert find_run("run", archive).probe("lesions", 0)["error"].tolist() == [0.5]
        assert send_left(archive) == (["run"], [])
    with machine("two"):
        assert find_run("run", archive).probe("lesions", 0)["error"].tolist() == [0.5]


def test_a_store_that_may_only_be_read_is_read_and_refuses_in_a_sentence(archive, machine):
    import json

    make(archive, "run")
    deny = {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::bucket/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    objects.objects_at(archive).system.call_s3("put_bucket_policy", Bucket="bucket", Policy=policy)
    with machine("two"):
        assert len(find_run("run", archive).evals()) == 2
        assert "refuses these credentials or what is done with them" in sentence(lambda: make(archive, "more"))
        assert [run.id for run in list_runs(archive)] == ["run"]


def test_a_run_of_a_newer_lab_is_named_and_left_alone(archive, machine):
    make(archive, "old")
    make(archive, "new")
    for key in ("new/run.json", ".runs/new/run.json"):
        edit_there(archive, key, format=2, labapp="9.0")
    with machine("two"):
        listing = look(archive)
        assert [entry.id for entry in listing.entries] == ["old"]
        ((_, said),) = listing.broken
        assert (
            "was written by a newer version of the lab (9.0, format 2); this one reads format 1, so update labapp"
            in said
        )
    before = stored(archive)
    with machine("two"):
        assert "newer version" in sentence(lambda: RunWriter(place(archive) / "new"))
    assert stored(archive) == before


def test_copies_take_no_more_room_than_they_may(archive, machine, monkeypatch):
    for name in ("a", "b", "c", "d"):
        make(archive, name)
    with machine("two"):
        one = sum(path.stat().st_size for path in find_run("a", archive).path.rglob("*") if path.is_file())
        monkeypatch.setenv(room.LIMIT, str(4 * one / 1e9))
        for _ in range(2):
            for run in list_runs(archive):
                assert len(run.evals()) == 2
        held = sum(path.stat().st_size for path in place(archive).rglob("*") if path.is_file())
        assert held < 6 * one  # a list's files stay
    with machine("one"):
        monkeypatch.setenv(room.LIMIT, "1e-9")
        writer = RunWriter.create(archive, Experiment(), run_id="e")
        writer.write("steps", one_step(0))
        writer.flush()
        room.keep_bounded(10**9, place(archive))
        assert len(writer.run.steps()) == 1  # what was not sent is no copy
        writer.finish()
    monkeypatch.setenv(room.LIMIT, "much")
    assert "so it cannot be 'much'" in sentence(room.limit)


def test_labels_that_cannot_be_sent_are_here_as_they_were(archive, machine, monkeypatch):
    def refused(*_):
        raise OSError("the disk of the store is full")

    make(archive, "run")
    with machine("one"):
        label_run(archive, "run", add=["good"])
        with monkeypatch.context() as gone:
            gone.setattr(type(objects.objects_at(archive)), "put", lambda self, *given: _told(self, refused))
            said = sentence(lambda: label_run(archive, "run", add=["lost"]))
        assert "stay as they were: " in said
        assert "the disk of the store is full" in said
        assert look(archive).entries[0].labels.tags == ("good",)
        label_run(archive, "run", add=["better"])
    with machine("two"):
        assert look(archive).entries[0].labels.tags == ("better", "good")
