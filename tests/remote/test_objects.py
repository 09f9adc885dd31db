"""What a store must do, asked of S3 and of a store that fsspec knows."""

import pytest

from labapp.store.remote.objects import NOTHING_THERE, OutdatedError, objects_at


@pytest.fixture(params=["s3://bucket/runs", "memory://bucket/runs"])
def store(archive, request):
    found = objects_at(request.param)
    found.remove([*found.listed("")])
    return found


def test_objects_are_listed_read_and_removed(store, tmp_path):
    assert (store.listed(""), store.folders(), store.look("a/b"), store.read("a/b")) == ({}, [], None, None)
    tag = store.put("a/b", b"one")
    (tmp_path / "file").write_bytes(b"three")
    store.put("a/c/d", tmp_path / "file")
    assert sorted(store.listed("")) == ["a/b", "a/c/d"]
    assert list(store.listed("a/c/")) == ["a/c/d"]
    assert store.folders() == ["a"]
    assert (store.look("a/b").tag, store.look("a/b").size) == (tag, 3)
    assert store.read("a/c/d") == b"three"
    assert store.fetch({"a/b": tmp_path / "b", "not/there": tmp_path / "c"}) == {"a/b": tag}
    assert (tmp_path / "b").read_bytes() == b"one"
    assert not (tmp_path / "c").exists()
    store.remove(["a/b", "not/there"])
    assert list(store.listed("")) == ["a/c/d"]


def test_an_object_is_written_only_where_it_is_as_expected(store):
    first = store.put("own", b"one", NOTHING_THERE)
    with pytest.raises(OutdatedError):
        store.put("own", b"two", NOTHING_THERE)
    second = store.put("own", b"two", first)
    assert second != first
    with pytest.raises(OutdatedError):
        store.put("own", b"three", first)
    with pytest.raises(OutdatedError):
        store.put("gone", b"three", first)
    assert store.read("own") == b"two"
    store.put("own", b"three")
    assert store.read("own") == b"three"


def test_a_list_of_more_than_a_page_is_whole(archive):
    store = objects_at(archive)
    from moto.s3.models import s3_backends

    (backend,) = [each["aws"] for each in s3_backends.values() if each["aws"].buckets]
    for number in range(1100):
        backend.put_object("bucket", f"runs/{number:04d}/x", b"")
    assert len(store.listed("")) == len(store.folders()) == 1100
    store.remove([*store.listed("")])
    assert store.listed("") == {}
