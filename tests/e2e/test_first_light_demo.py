"""The demo, as a user starts it; and that its report notices what is broken."""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def demo(**environment):
    return subprocess.Popen(
        [sys.executable, "-B", "-m", "lab.demo"], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})


def test_once_says_that_all_is_well():
    run = demo(ONCE="1")
    report, _ = run.communicate(timeout=300)
    print(report)
    assert run.returncode == 0
    assert "100 of 100 answered" in report and "WRONG" not in report
    assert re.search(r"ok +decrypted +[1-9]\d* of \d+ requests read, cookies masked", report)


@pytest.mark.parametrize("part, line", [
    ("clone", "copies"), ("engine", "engines"), ("server", "servers")])
def test_once_notices_what_is_broken(part, line):
    run = demo(ONCE="1", DEMO_BREAK=part)
    report, _ = run.communicate(timeout=300)
    print(report)
    assert run.returncode == 1
    assert f"WRONG {line}" in report


def namespaces(prefix):
    """Each as itself: a number is given again, to namespaces as well as to labs."""
    return {(path.name, path.stat().st_ino, path.stat().st_ctime_ns)
            for path in pathlib.Path("/run/netns").glob(f"{prefix}*")}


def test_live_with_its_keys_until_it_is_interrupted():
    terminal, end = pty.openpty()
    run = subprocess.Popen([sys.executable, "-B", "-m", "lab.demo"], cwd=ROOT, stdin=end,
                           stdout=end, stderr=end, env={**os.environ, "ONCE": ""})
    os.close(end)
    text = ""

    def shows(pattern, seconds=90):
        """What the demo printed from now on matches within this time."""
        nonlocal text
        fresh, deadline = "", time.monotonic() + seconds
        while not re.search(pattern, fresh):
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {fresh!r}"
            piece = os.read(terminal, 65536).decode(errors="replace")
            fresh, text = fresh + piece, text + piece
        return fresh
    try:
        shows(r"login +admin, \S+")
        shows(r"[1-9]\d* answered, 0 failed, outage 0 ms \| [1-9]\d* copies .*servers up: 3")
        for key, said in (("s", "web1 stopped"), ("s", "web1 starts again"),
                          ("x", "sensor unplugged"), ("x", "sensor plugged in"),
                          ("c", "clone off"), ("c", "clone on")):
            os.write(terminal, key.encode())
            shows(said)
        said = ""       # a killed engine is noticed; by nobody, where nobody asked before the other one took over
        while not re.search(r"[1-9]\d* failed, outage [1-9]\d* ms", said):
            os.write(terminal, b"k")
            shows(r"engine\d killed")
            os.write(terminal, b"k")
            shows(r"engine\d starts again")
            said = shows(r"\| engine\d, servers up: 3")
        prefix = re.search(r"netns exec (swlab\d+-)", text).group(1)
        made = namespaces(prefix)
        assert made
        run.send_signal(signal.SIGINT)
        shows("everything is removed")
        assert run.wait(90) == 0
        # Another lab may have its number by now, but none of its namespaces.
        assert not made & namespaces(prefix)
    finally:
        run.kill()
        run.wait(10)
        os.close(terminal)
