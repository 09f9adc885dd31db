"""How many requests does what take? Each costs money and a tenth of a second."""

from functools import partial

import numpy as np
import pytest

from labapp.config import Experiment, place
from labapp.store import RunWriter, find_run, look
from labapp.store.remote import sending
from labapp.store.remote.mirror import mirror_of
from tests.store.examples import make

RUNS = 1000


@pytest.fixture
def bucket(archive):
    """The bucket inside the server: a thousand requests would take a test too long."""
    from moto.s3.models import s3_backends

    (backend,) = [each["aws"] for each in s3_backends.values() if each["aws"].buckets]
    return partial(backend.put_object, "bucket")


def fetched(wanted, contents, listed):
    """As `Objects.fetch`, of objects that are all alike."""
    for path in wanted.values():
        path.write_bytes(contents)
    return {key: listed[key].tag for key in wanted}


def test_a_list_of_a_thousand_runs_takes_two_requests_after_the_first(archive, machine, requests, bucket, monkeypatch):
    record = (make(archive, "pattern").path / "run.json").read_bytes()
    for number in range(RUNS - 1):
        for below in ("runs/.runs", "runs"):
            bucket(f"{below}/r{number:04d}/run.json", record)
    with machine("two"), monkeypatch.context() as quick:  # the first list, without a thousand requests in a test
        store = mirror_of(place(archive)).objects
        quick.setattr(store, "fetch", lambda wanted: fetched(wanted, record, store.listed("")))
        assert len(look(archive).entries) == RUNS
    with machine("two"):
        del requests[:]
        assert len(look(archive).entries) == RUNS
        assert len(requests) == 2, requests
        del requests[:]
        look(archive, age=2.0)  # as a page does all the time
        assert requests == []
        assert len(find_run("r0007", archive).attempts) == 1
        del requests[:]
        find_run("pattern", archive).evals()
        assert len(requests) <= 4, requests


def test_a_long_run_takes_few_requests(archive, requests, monkeypatch):
    """152 layers × 100,000 recorded steps, a quarter of a second each: seven hours."""
    now = [0.0]
    monkeypatch.setattr(sending, "monotonic", lambda: now[0])
    steps, seconds, chunk = 100_000, 0.25, 10_000
    writer = RunWriter.create(archive, Experiment(), run_id="run")
    layers = [f"layer{n}" for n in range(152)]
    for first in range(0, steps, chunk):
        writer.write("steps", {"step": np.arange(first, first + chunk), "loss": np.ones(chunk)})
        writer.write("layers", {"step": first, "layer": layers, "output_grad_norm": np.ones(152)})
        now[0] += chunk * seconds
        writer.flush()
        if writer._lease._sending:
            writer._lease._sending.result()
    writer.finish()
    assert len(requests) / (steps // chunk) < 7.5, len(requests)  # a sending; there are at most 160, see below
    found = find_run("run", archive)
    assert len(found.steps()) == steps
    assert len(found.layers()) == 152 * steps // chunk


def test_pauses_grow_with_the_run_and_stay_a_sign_of_life(archive, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sending, "monotonic", lambda: now[0])
    lease = sending.RemoteLease(make(archive, "run").path)
    sent = []
    while now[0] < 7 * 3600:
        now[0] += 2.0
        if lease.due:
            lease._last = now[0]
            sent.append(now[0])
    assert len(sent) < 160
    assert sent[0] <= 16.0
    assert max(np.diff(sent)) <= 302.0
