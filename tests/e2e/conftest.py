"""Each test has a lab of its own; a failed one leaves its logs and packets in a folder."""

import os
import pathlib
import re
import shutil
import signal
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from lab.lab import Lab  # noqa: E402

KEPT = ROOT / "build" / "e2e"


def pytest_configure(config):
    """A SIGTERM ends the whole run, through the cleaning up, and not one test."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


def pytest_terminal_summary(terminalreporter):
    """What tests measured is worth reading also when they pass: lines `measured: ...`."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for line in report.capstdout.splitlines():
                if line.startswith("measured: "):
                    terminalreporter.write_line(line.removeprefix("measured: "))


def complaints(folder):
    """Lines of the logs that say a state was impossible, or a sanitizer found something."""
    return [f"{log.name}: {line}" for log in folder.glob("*.log")
            for line in log.read_text(errors="replace").splitlines()
            if re.search(r"must_failed|Sanitizer|runtime error:", line)]


def last_words(folder):
    """What each program said last, for those who will see nothing but this output."""
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        if lines:
            print(f"--- {log.name}, {len(lines)} lines", *(line[:300] for line in lines[-20:]), sep="\n")


@pytest.fixture
def lab(request):
    """A world of the test's own; its engines have SPANWIRE_WORKERS workers."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    folder = KEPT / re.sub(r"[^\w.-]+", "_", request.node.name)
    shutil.rmtree(folder, ignore_errors=True)
    world = Lab(folder, record=True, seeded=True)
    try:
        yield world
    finally:
        world.close()
        if world.asked_workers:
            request.node.user_properties.append(("workers", "of all"))
        report = getattr(request.node, "report_call", None)
        bad = complaints(folder)
        if report is not None and report.passed and not bad:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"\nlogs and packets of {request.node.name}: {folder}")
            last_words(folder)
    assert not bad, "a program of ours broke, whatever the test saw"


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    """A controller on loopback without engines: for what is only said over REST."""
    from contract import Controller

    one = Controller(tmp_path_factory.mktemp("controller")).start()
    try:
        yield one
    finally:
        if one.process.poll() is None:
            assert one.stop() == 0


@pytest.fixture(scope="module")
def admin(controller):
    return controller.session()
