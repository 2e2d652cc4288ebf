"""A crash or an error while a file is written leaves the old file or the new one, complete."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nn import Linear
from nn.saving import load, save

posix = pytest.mark.skipif(os.name != "posix", reason="the helper forks")


def child(root, *arguments):
    """Return what a command of saving_child finds, line by line."""
    command = [sys.executable, "-m", "tests.nn.saving_child", *map(str, arguments)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads should not fork
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@posix
@pytest.mark.promise(22)
def test_a_process_killed_while_it_saves_leaves_a_complete_file(root, tmp_path, figure):
    """The helper loads what each of them left and compares every number with the version."""
    kills = child(root, "killed_at_random", tmp_path, 24)
    in_the_middle = sum(left for _, _, left in kills)
    figure(f"processes killed while they saved: {len(kills)}, {in_the_middle} of them in the middle of writing")
    assert len(kills) == 24
    assert in_the_middle >= 1
    assert all(left <= 1 and after >= before for before, after, left in kills)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@posix
@pytest.mark.promise(22)
@pytest.mark.parametrize(
    ("call", "time", "version"),
    [("fsync", 1, 1), ("replace", 1, 1), ("fsync", 2, 2)],
    ids=["written", "ready", "moved"],
)
def test_a_process_killed_at_a_given_moment_leaves_the_old_file_until_the_new_one_is_in_place(
    root, tmp_path, call, time, version
):
    assert child(root, "killed_at", tmp_path, call, time) == [[9, version]]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path, model = tmp_path / "net.safetensors", Linear(2, 1, rng=0)
    save(path, model, version=1)

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="no space left"):
        save(path, model, version=2)
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
    assert load(path, model) == {"version": 1}


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "file", x=1)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_on_disk_before_it_has_its_name_and_the_name_before_save_returns(tmp_path, monkeypatch):
    calls = []

    def noted(name):
        real = getattr(os, name)

        def call(first, *rest):
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(first).st_mode)
            calls.append("fsync of the folder" if folder else name)
            return real(first, *rest)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name))
    save(tmp_path / "file", x=1)
    assert calls == ["fsync", "replace", *(["fsync of the folder"] if os.name == "posix" else [])]


def test_permissions_stay_and_a_new_file_has_the_usual_ones(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"")
    save(path, x=1)
    assert path.stat().st_mode == other.stat().st_mode
    path.chmod(0o640)
    save(path, x=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load(path) == {"x": 2}


def test_a_symbolic_link_stays_one_and_its_target_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    save(target, x=1)
    link.symlink_to(Path("folder", "target"))
    save(link, x=2)
    assert link.is_symlink()
    assert load(target) == load(link) == {"x": 2}
    assert [file.name for file in target.parent.iterdir()] == ["target"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError):
        save(tmp_path, x=1)
    with pytest.raises(OSError, match="is no file"):
        save(os.devnull, x=1)
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "missing" / "file", x=1)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "access") or os.name != "posix", reason="needs permissions")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "file"
    save(path, x=1)
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)  # as for a user who is not root
    with pytest.raises(PermissionError, match="may not be written"):
        save(path, x=2)
    assert load(path) == {"x": 1}


def test_two_saves_of_the_same_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name, Linear(3, 2, rng=0), epoch=1, losses=[1.0, 0.5])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
