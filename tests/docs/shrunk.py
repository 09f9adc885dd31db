"""How is a command of the documents run in a second? By options behind its own; the last one of a name counts.

What is only read, and not run, says here why, but for what needs another program: Slurm, Ray, pip, and make, whose lint
and test are what CI does and whose other targets are commands of the lab. `tests/commands/test_documents.py` reads all.
"""

SMALL = [
    "--steps",
    "2",
    "--batch-size",
    "8",
    "--train-images",
    "48",
    "--test-images",
    "24",
    "--imageset",
    "digits",
    "--image-size",
    "16",
    "--device",
    "cpu",
    "--checkpoints",
    "1",
    "--eval-every",
    "2",
    "--record-every",
    "1",
]
COLOURED = [
    *SMALL,
    "--imageset",
    "cluttered-digits",
    "--image-size",
    "24",
]  # for nets of others, which want three channels
FOLDER = ["--batch-size", "8", "--device", "cpu", "--checkpoints", "1", "--steps", "2"]

SHRUNK = {  # how another command begins: the options that make it small
    "probe": ["--quantities", "architecture", "by_depth", "--images", "24"],
    "doctor torchvision": ["--image-size", "32", "--batch-size", "2"],
    "sweep": ["--dry-run"],
}
READ = {  # how a command begins that is only read: why
    "starter": "trains six nets: tests/training/test_starter.py runs it with small ones",
    "train --root s3": "needs a store: tests/remote/test_commands.py runs such commands against an S3 server",
    "runs export --to wandb": "takes seconds to begin: tests/exports/test_wandb.py runs it",
    "runs export --to mlflow": "takes seconds to begin: tests/exports/test_mlflow.py runs it",
    "train --mirror mlflow": "needs a server: tests/exports/test_mirror.py follows a training",
    "runs send": "needs a store: tests/remote/test_commands.py runs it against an S3 server",
    "sweep --engine ray": "begins a Ray cluster: tests/commands/test_sweep_ray.py runs it",
    "train --mirror mlflow:http": "needs a server of MLflow",
    "train --devices": "begins processes: tests/training/test_several.py and tests/commands/test_cli.py run them",
}
ALLOWED = {"runs compare": (0, 1)}  # exit codes; 1 where a rule is broken, which it is for


def why_read(words):
    """Why a command of the lab is only read; "" where it is run."""
    for beginning, reason in READ.items():
        name, *options = beginning.split()
        rest = " ".join(words)
        if (words[0] == name or rest.startswith(beginning)) and all(option in rest for option in options):
            return reason
    return ""


def shrunk(words):
    """The words with which a command is run."""
    if words[0] == "train":
        return [*words, *(FOLDER if "folder" in words else COLOURED if "--net" in words else SMALL)]
    line = " ".join(words)
    return [*words, *next((extra for beginning, extra in SHRUNK.items() if line.startswith(beginning)), [])]


def allowed(words):
    """The exit codes with which it may end."""
    return ALLOWED.get(" ".join(words[:2]), (0,))
