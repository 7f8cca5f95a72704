"""The demo, as a user starts it; and that its report notices what is broken."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from lab.host import command

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def demo(**environment):
    return subprocess.Popen(
        [sys.executable, "-B", "-m", "lab.demo"], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})


def test_once_says_that_all_is_well():
    run = demo(ONCE="1")
    report, _ = run.communicate(timeout=90)
    print(report)
    assert run.returncode == 0
    assert "100 of 100 answered" in report and "WRONG" not in report


@pytest.mark.parametrize("part, line", [
    ("clone", "copies"), ("engine", "engines"), ("server", "servers")])
def test_once_notices_what_is_broken(part, line):
    run = demo(ONCE="1", DEMO_BREAK=part)
    report, _ = run.communicate(timeout=120)
    print(report)
    assert run.returncode == 1
    assert f"WRONG {line}" in report


def test_live_until_it_is_interrupted():
    run = demo(ONCE="")
    text, deadline = "", time.monotonic() + 60
    os.set_blocking(run.stdout.fileno(), False)
    while "copies at the sensor" not in text and time.monotonic() < deadline:
        text += run.stdout.read() or ""
        time.sleep(0.05)
    before = [name for name in command("ip", "netns", "list").stdout.split()]
    run.send_signal(signal.SIGINT)
    os.set_blocking(run.stdout.fileno(), True)
    rest, _ = run.communicate(timeout=30)
    assert "copies at the sensor" in text, text + rest
    prefix = text.split("netns exec ")[1].split("-")[0]
    assert any(name.startswith(prefix) for name in before)
    after = command("ip", "netns", "list").stdout.split()
    assert not [name for name in after if name.startswith(f"{prefix}-")]
