"""What the tests of saving do in processes of their own: `python -m tests.nn.saving_child COMMAND FOLDER ...`.

Each command prints its findings as lines of JSON.
"""

import json
import os
import random
import re
import signal
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

from nn import Adam, Linear
from nn.saving import LoadError, load, save

from .saving_training import CASES, Training


def forked(function, *arguments):
    """Return what a function gives in a process of its own that has just begun."""
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        os.write(writing, json.dumps(function(*arguments)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="ascii") as answer:
        said = answer.read()
    os.waitpid(process, 0)
    return json.loads(said)


# ---- memory ----


def memory(folder):
    """Load every .bin file; tell its name, the outcome, and what it took: asked for by Python, grown by the process.

    Both are the highest at any moment, in bytes.
    """
    for path in sorted(Path(folder).glob("*.bin")):
        outcome, asked = forked(traced, path)
        _, grown = forked(resident, path)
        print(json.dumps([path.name, outcome, asked, grown]), flush=True)


def attempt(path):
    if " into a " not in path.name:
        return lambda: load(path)
    model = Linear(500, 600, rng=0)
    if "into a model" in path.name:
        return lambda: load(path, model)
    optimizer = Adam(model.parameters())
    model(np.ones((1, 500))).sum().backward()
    optimizer.step()
    return lambda: load(path, model, optimizer=optimizer)


def outcome(call):
    try:
        call()
    except LoadError:
        return "LoadError"
    return "success"


def traced(path):
    call = attempt(path)
    outcome(call)  # what the first call imports and compiles is not the file's doing
    tracemalloc.start()
    return outcome(call), tracemalloc.get_traced_memory()[1]


def resident(path):
    call = attempt(path)
    outcome(lambda: load(path.parent / "small.safetensors"))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # begins a new high-water mark, see proc(5)
    before = status("VmRSS")
    return outcome(call), status("VmHWM") - before


def status(field):
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)[1])


# ---- going on in another process ----


def resume(folder):
    """Load each case of training where it was saved, go on to the end, and save it again."""
    for name in CASES:
        training = Training(name, seed=1)
        training.load(Path(folder, f"{name}.middle"))
        training.run()
        training.save(Path(folder, f"{name}.resumed"))


# ---- being killed ----


class Version:
    """A model of 4 MB, all of whose numbers are the number of its version."""

    def __init__(self):
        self.model = Linear(1000, 500, rng=0)

    def save(self, path, version):
        for p in self.model.parameters():
            p.data[...] = version
        save(path, self.model, version=version)

    def load(self, path):
        """Return the version in a file, after a look at every number."""
        version = load(path, self.model)["version"]
        assert all((p.data == version).all() for p in self.model.parameters())
        return version


def killed_at_random(folder, kills):
    """Kill a process that saves and saves, and tell which version it left, and how many files that it was writing."""
    path, model, rng = Path(folder, "model.safetensors"), Version(), random.Random(0)
    begin = time.perf_counter()
    model.save(path, 0)
    duration = time.perf_counter() - begin
    version = 0
    for _ in range(int(kills)):
        if (process := os.fork()) == 0:
            while True:
                version += 1
                model.save(path, version)
        time.sleep(rng.uniform(1.0, 4.0) * duration)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        left = list(path.parent.glob(".model.safetensors.*.tmp"))
        before, version = version, model.load(path)
        print(json.dumps([before, version, len(left)]), flush=True)
        for file in left:
            file.unlink()


def killed_at(folder, call, time_of_call):
    """Kill a process when it calls os.<call> for the n-th time in saving version 2 over version 1."""
    path, model = Path(folder, "model.safetensors"), Version()
    model.save(path, 1)
    if (process := os.fork()) == 0:
        real, left = getattr(os, call), [int(time_of_call)]

        def fatal(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(os, call, fatal)
        model.save(path, 2)
        os._exit(0)
    _, ended = os.waitpid(process, 0)
    print(json.dumps([os.WTERMSIG(ended), model.load(path)]))


if __name__ == "__main__":
    {f.__name__: f for f in (memory, resume, killed_at_random, killed_at)}[sys.argv[1]](*sys.argv[2:])
