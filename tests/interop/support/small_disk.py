"""A disk of 64 KiB that is full, or read-only, on demand: a real one as root, one in a namespace for anybody else."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
from pathlib import Path

from .programs import Program, wait_until

MOUNT = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]


def small_disk(folder):
    """The first that this machine permits; none of them asks for more than an ordinary user has."""
    folder.mkdir()
    for kind in (Mounted, InNamespace):
        with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError, AssertionError):
            return kind(folder)
    return Limited(folder)


class Disk:
    """`path` is the disk as programs see it that are started under `prefix`, with `before`; `seen` as the test does."""

    prefix, before, tells_all = (), None, True

    def fill(self, _program):
        with (self.seen / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError as full:
                assert full.errno == errno.ENOSPC, full

    def make_room(self, _program):
        (self.seen / "filler").unlink()

    def protect(self):
        """Nothing can be written from now on, until it is permitted again."""
        self._remount("ro")

    def permit(self):
        self._remount("rw")

    def _remount(self, how):
        subprocess.run([*map(str, self.prefix), "mount", "-o", f"remount,{how}", self.path], check=True)

    def stop(self):
        pass


class Mounted(Disk):
    def __init__(self, folder):
        subprocess.run([*MOUNT, folder], check=True, capture_output=True)
        self.path = self.seen = folder

    def stop(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)


class InNamespace(Disk):
    """Root in a user namespace may mount for whoever is in there; a process of ours keeps it, and lets us look in."""

    def __init__(self, folder):
        script = f'{" ".join(MOUNT)} "$1" && echo mounted && exec sleep 600'
        argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", folder]
        self.keeper = Program("keeper", argv, folder.parent)
        try:
            wait_until("it is mounted", lambda: "mounted" in self.keeper.said() or self.keeper.process.poll(), 5)
            assert "mounted" in self.keeper.said()
        except AssertionError:
            self.stop()
            raise
        namespaces = ("--user", "--mount", "--preserve-credentials", f"--wd={folder.parent}")
        self.prefix = ("nsenter", "--target", self.keeper.pid, *namespaces, "--")
        self.path, self.seen = folder, Path(f"/proc/{self.keeper.pid}/root{folder}")

    def stop(self):
        self.keeper.stop()


class Limited(Disk):
    """No disk of its own: a program may write no byte to any file while it is full, and so not to its log either."""

    tells_all = False
    # What a folder says of itself binds root only without this.
    prefix = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()

    def __init__(self, folder):
        self.path = self.seen = folder

    def protect(self):
        for folder in (self.path, self.path / "store"):
            folder.chmod(0o500)

    def permit(self):
        for folder in (self.path, self.path / "store"):
            folder.chmod(0o700)

    @staticmethod
    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(self, program):
        self._limit(program, 0)

    def make_room(self, program):
        self._limit(program, None)

    @staticmethod
    def _limit(program, size):
        _, most = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))
