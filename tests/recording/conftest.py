"""Tests of small nets run on one thread: waiting for others costs them ten times what they compute."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread(request):
    if request.module.__name__.rsplit(".", 1)[-1] not in ("test_faults", "test_scenarios", "test_soak"):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
