"""The folder of a controller that has started once: its keys and passwords cost the processor more than all that follows.

A test's controller goes on from a copy, as one whose folder was brought from elsewhere does. Who tests a first start, or two
controllers that do not know each other, begins with an empty folder.
"""

from __future__ import annotations

import atexit
import pathlib
import secrets
import shutil
import subprocess
import tempfile
from typing import Optional


class Seed:
    def __init__(self, program: pathlib.Path):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spanwire-seed-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.data, self.password = self.folder / "data", secrets.token_urlsafe(12)
        file = self.folder / "password"
        file.touch(0o600)
        file.write_text(self.password + "\n")
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                [program, "--data", self.data, "--listen", "127.0.0.1:0", "--engine-listen", "127.0.0.1:0",
                 "--admin-password-file", file], stdout=subprocess.PIPE, stderr=log, text=True)
        line = process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0 and "ready" in line, (self.folder / "log").read_text()
        process.stdout.close()

    def sow(self, data: pathlib.Path) -> str:
        """Copies it to DATA, which is empty or not there; the administrator's password."""
        shutil.copytree(self.data, data, dirs_exist_ok=True)
        return self.password


_seed: Optional[Seed] = None


def sow(program: pathlib.Path, data: pathlib.Path) -> str:
    """A copy of this process's seed, which the first to ask makes."""
    global _seed
    _seed = _seed or Seed(program)
    return _seed.sow(data)
