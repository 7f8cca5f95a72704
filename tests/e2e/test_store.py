"""The controller is killed while operators write: what it acknowledged is there, and nothing is there by half."""

import random
import sqlite3
import threading

import pytest
import requests

from contract import Controller

WRITERS, ROUNDS = 4, 12


class Writer(threading.Thread):
    """Changes its pool's description to 1, 2, 3 ... until the controller is gone; counts what was acknowledged."""

    def __init__(self, session, uuid, acked, enough):
        super().__init__()
        self.session, self.uuid, self.acked, self.enough = session, uuid, acked, enough

    def run(self):
        try:
            while True:
                answer = self.session.patch(f"pool/{self.uuid}", {"replace": {"description": str(self.acked + 1)}})
                assert answer.status_code == 200, answer.text
                self.acked += 1
                self.enough.release()
        except requests.RequestException:
            pass


@pytest.fixture
def controller(tmp_path):
    c = Controller(tmp_path)
    yield c.start()
    c.stop()


def changes_of(session, uuid):
    return session.get(f"analytics/logs?type=2&page_size=1&filter=eq(obj_uuid,{uuid})").json()["count"]


def test_kill_loses_no_acknowledged_write(controller):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    session = controller.session()
    uuids = [session.make("pool", name=f"pool-{n}", description="0")["uuid"] for n in range(WRITERS)]
    acked = [0] * WRITERS
    for _ in range(ROUNDS):
        enough = threading.Semaphore(0)
        writers = [Writer(controller.session(), uuid, n, enough) for uuid, n in zip(uuids, acked)]
        for w in writers:
            w.start()
        for _ in range(chance.randrange(1, 40)):
            assert enough.acquire(timeout=20)
        controller.kill()
        for w in writers:
            w.join(20)
            assert not w.is_alive()
        controller.start()
        session = controller.session()
        for n, w in enumerate(writers):
            stored = int(session.get(f"pool/{w.uuid}").json()["description"])
            # The one under way may have been stored before its answer was sent.
            assert w.acked <= stored <= w.acked + 1
            # Each change and its event, neither without the other; one more for the creation.
            assert changes_of(session, w.uuid) == stored + 1
            acked[n] = stored
    assert sum(acked) > ROUNDS


def test_a_clock_that_was_wrong_hides_no_events(controller):
    """It was in the year 2086 for a while: what happens after it was set right is in the log all the same."""
    uuid = controller.session().make("pool", name="before")["uuid"]
    controller.kill()
    with sqlite3.connect(controller.data / "store.db") as db:
        db.execute("UPDATE state SET last_us = last_us + ?", (60 * 365 * 86400 * 1000000,))
    db.close()
    controller.start()
    session = controller.session()
    session.patch(f"pool/{uuid}", {"replace": {"description": "after"}})
    assert changes_of(session, uuid) == 2


def test_one_controller_a_folder(controller, tmp_path):
    second = Controller(tmp_path)
    with pytest.raises(AssertionError):
        second.start()
    second.process.wait(10)
    second.process.stdout.close()
    second.log.close()
    assert "is in use by another controller" in (tmp_path / "controller.log").read_text()
    assert controller.session().get("pool").status_code == 200
