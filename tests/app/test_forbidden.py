"""What another user may not read or write is one sentence. Asked in a process of that user."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labapp.app import launch
from labapp.config import Experiment
from labapp.store import RunWriter

ASK = """
import os, sys
from labapp.app import launch
from labapp.config import LabError
from labapp.store import Run, broken_runs, list_runs, remove_run
if os.getuid() == 0:
    os.setuid(65534)
root = sys.argv[1]
os.chdir('/')
for asked in sys.argv[2:]:
    try:
        print(eval(asked))
    except LabError as error:
        print('LabError:', str(error).replace('\\n', '!'))
"""


@pytest.fixture
def root():
    """An archive of the user of this test: anybody may read it, nobody else write; one run may not even be read."""
    folder = Path(tempfile.mkdtemp())  # where others may come, unlike pytest's own
    folder.chmod(0o755)
    for name in ("open", "shut"):
        RunWriter.create(folder / "runs", Experiment(), run_id=name).finish("finished")
    (folder / "runs" / "shut").chmod(0o700 if os.getuid() == 0 else 0o000)
    (folder / "shut").mkdir(mode=0o700 if os.getuid() == 0 else 0o000)
    if os.getuid():  # the same user then; what it may not write is what it may not write
        (folder / "runs").chmod(0o555)
    yield folder
    for path in (folder / "runs", folder / "runs" / "shut", folder / "shut"):
        path.chmod(0o755)
    shutil.rmtree(folder)


ASKED = {
    "[run.id for run in list_runs(root + '/runs')]": "['open']",
    "broken_runs(root + '/runs')[0][1]": "run.json cannot be read: Permission denied",
    "Run(root + '/runs/shut')": "LabError: ",
    "list_runs(root + '/shut')": "cannot be read: Permission denied",
    "list_runs(root + '/shut/in')": "cannot be read: Permission denied",
    "remove_run(root + '/runs', 'open')": "Permission denied",
    "remove_run(root + '/runs', 'shut')": "Permission denied",
    "launch.start(['starter'], root + '/runs')": "nothing can be recorded into",
    "launch.start(['starter'], root + '/shut')": "nothing can be recorded into",
    "launch.launches(root + '/shut')": "[]",
    "launch.begin_starter(root + '/runs')": "None",
    "launch.begin_starter(root + '/shut')": "nothing can be recorded into",
    "launch.begin_starter(root + '/shut/in')": "nothing can be recorded into",
}


def test_what_may_not_be_touched_is_one_sentence(root):
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(root), *ASKED], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(launch.PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(ASKED)
    for line, (asked, says) in zip(said, ASKED.items(), strict=True):
        assert says in line, (asked, line)
    assert sorted(path.name for path in (root / "runs").iterdir()) == ["open", "shut"]
