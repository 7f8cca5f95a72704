"""kill -9 of the controller in the middle of writes: what was acknowledged is there, nothing is half there."""

import contextlib
import random
import sqlite3
import threading
import time

import requests

from contract import Controller, server, vip

ROUNDS = 12
WRITERS = 4


def write(controller, round_number, writer, acked, stop):
    """Pools, and virtual services with their VsVip inside (two objects, one transaction), until the line breaks."""
    try:
        session = controller.session()
        for i in range(10000):
            if stop.is_set():
                return
            name = f"r{round_number}-w{writer}-{i}"
            if i % 2:
                address = f"10.{round_number}.{writer * 60 + i // 250}.{i % 250 + 1}"
                answer = session.post("virtualservice", {"name": name, "vip": [vip(address)], "services": [{"port": 80}]})
                kind = "virtualservice"
            else:
                answer = session.post("pool", {"name": name, "servers": [server("10.0.0.1")]})
                kind = "pool"
            if answer.status_code == 201:
                acked.append((kind, name))
    except requests.RequestException:
        pass


def everything(session, kind):
    found, page = {}, 1
    while True:
        body = session.get(f"{kind}?page_size=200&page={page}").json()
        found.update({o["name"]: o for o in body["results"]})
        if "next" not in body:
            return found
        page += 1


def test_kill_9_during_writes_loses_nothing_acknowledged(tmp_path):
    controller, acked, dice = Controller(tmp_path).start(), [], random.Random(7)
    for number in range(ROUNDS):
        stop = threading.Event()
        writers = [threading.Thread(target=write, args=(controller, number, w, acked, stop)) for w in range(WRITERS)]
        before = len(acked)
        for w in writers:
            w.start()
        end = time.monotonic() + 60
        while len(acked) < before + 20 and time.monotonic() < end:
            time.sleep(0.001)
        assert len(acked) >= before + 20, "the writers do not get on"
        time.sleep(dice.random() * 0.05)  # a moment that nobody chose
        controller.kill()
        stop.set()
        for w in writers:
            w.join(30)
        controller.start()
    session = controller.session()
    pools, services, vips = (everything(session, k) for k in ("pool", "virtualservice", "vsvip"))
    there = {"pool": pools, "virtualservice": services}
    lost = [name for kind, name in acked if name not in there[kind]]
    assert not lost, f"{len(lost)} of {len(acked)} acknowledged writes are gone: {lost[:5]}"
    # Both or none: a virtual service and the VsVip that was made of its addresses.
    assert {f"vsvip-{name}" for name in services} == set(vips)
    # And every object has its event, though the writer never got an answer.
    log = session.get("analytics/logs?type=2&page_size=10000&filter=eq(event_id,CONFIG_CREATE)").json()
    told = {e["obj_name"] for e in log["results"]}
    assert (set(pools) | set(services) | set(vips)) <= told
    print(f"{len(acked)} writes acknowledged in {ROUNDS} lives, none lost")
    assert controller.stop() == 0


def test_a_restart_keeps_everything_but_the_sessions(tmp_path):
    controller = Controller(tmp_path).start()
    session = controller.session()
    pool = session.make("pool", name="kept", servers=[server("10.0.0.1")])
    fingerprint = (controller.data / "ca.pem").read_text()
    token = session.post("user-token", {"hours": 1}).json()["token"]
    assert controller.stop() == 0
    controller.start()
    assert session.get("pool").status_code == 401
    session.login()
    assert session.get(f"pool/{pool['uuid']}?include_name").json()["_last_modified"] == pool["_last_modified"]
    assert (controller.data / "ca.pem").read_text() == fingerprint
    assert session.login(username="admin", token=token).status_code == 200
    assert controller.stop() == 0


def test_only_the_owner_reads_the_data_folder(tmp_path):
    controller = Controller(tmp_path).start()
    assert controller.data.stat().st_mode & 0o777 == 0o700
    for name in ("ca.key", "server.key", "initial-admin-password", "store.db", "kek"):
        assert (controller.data / name).stat().st_mode & 0o077 == 0, name
    assert controller.stop() == 0


def test_a_store_of_an_older_controller_gets_what_it_lacks(tmp_path):
    controller = Controller(tmp_path).start()
    controller.stop()
    with contextlib.closing(sqlite3.connect(controller.data / "store.db")) as db, db:
        db.execute("DELETE FROM object WHERE kind IN ('sslprofile', 'stringgroup', 'sslkeyandcertificate') AND name LIKE 'System-%'")
    controller.start()
    try:
        admin = controller.session()
        for kind, name in (("sslprofile", "System-Standard"), ("stringgroup", "System-Devices-Mobile"),
                           ("sslkeyandcertificate", "System-Default-Cert")):
            found = admin.find(kind, name)
            assert found and admin.delete(f"{kind}/{found['uuid']}").status_code == 403, name
        assert len(admin.get("cloud").json()["results"]) == 1
    finally:
        controller.stop()
