"""Export and import of the configuration; what is wrong with a file is said, and changes nothing."""

import contextlib
import hashlib
import json
import select
import signal
import threading
import time
from urllib.parse import quote

import pytest

from contract import Controller, error, read_answer, server, vip
from lab import until

PASS, GOOD = "correct horse", "Some password 1"


class Fixed(Controller):
    """It starts itself anew: its port must be the same then."""

    def start(self):
        super().start()
        if self.process.args[4] != self.listen:
            self.stop()
            super().start()
        return self

    def wait_anew(self):
        """The ready line of the next life, in which the passwords are those of the file."""
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        assert ready and "ready" in self.process.stdout.readline()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    controller = Fixed(tmp_path_factory.mktemp("backup")).start()
    try:
        yield controller
    finally:
        assert controller.stop() == 0


@pytest.fixture(scope="module")
def admin(world):
    admin = world.session()
    admin.make("tenant", name="red")
    admin.make("user", name="ann", password=GOOD, access=[
        {"role_ref": "/api/role?name=Tenant-Admin", "tenant_ref": "/api/tenant?name=red"}])
    red = world.session(tenant="red")
    red.make("healthmonitor", name="red hm", type="HEALTH_MONITOR_TCP")
    red.make("pool", name="red pool", servers=[server("10.0.0.1")], health_monitor_refs=["/api/healthmonitor?name=red%20hm"])
    red.make("virtualservice", name="red vs", pool_ref="/api/pool?name=red%20pool", vip=[vip("10.66.0.1", vip_id="0")],
             services=[{"port": 80}])
    admin.make("backupconfiguration", name="secret", backup_passphrase="the secret of an object")
    return admin


def export(session, **query):
    answer = session.get("configuration/export", params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def bring(session, text, **query):
    return session.send("POST", "configuration/import", text, params=query)


def objects(controller):
    """All that there is, but when it was written."""
    out, every = {}, controller.session(tenant="*")
    for kind in every.get("model").json()["kinds"]:
        if kind.get("runtime") or kind["kind"] == "backup":
            continue
        path = kind["kind"] + ("" if kind.get("singleton") else "?page_size=200")
        answer = every.get(path).json()
        for o in answer.get("results", [answer]):
            o.pop("_last_modified")
            out[kind["kind"] + "/" + o["uuid"]] = json.dumps(o, sort_keys=True).replace(controller.url, "")
    return out


def test_no_secret_is_in_a_file(world, admin):
    record = "$argon2id$"
    for text in (export(admin, full_system="true", passphrase=PASS), export(admin, full_system="true"), export(admin)):
        assert record not in text and "the secret of an object" not in text and PASS not in text
        assert "PRIVATE KEY" not in text and (world.data / "kek").read_text().strip() not in text
    assert "left out" in json.loads(export(admin, full_system="true"))["META"]["secrets"]
    assert "sealed" in json.loads(export(admin, full_system="true", passphrase=PASS))["META"]["secrets"]
    events = admin.get("analytics/logs?type=2&filter=co(event_description,exported)").json()["results"]
    assert any("sealed" in e["event_description"] for e in events)


def test_who_may_export_and_import(world, admin):
    ann = world.session("ann", GOOD, tenant="red")
    for refused in (ann.get("configuration/export?full_system=true"), bring(ann, "{}", full_system="true")):
        assert "superuser" in error(refused, 403)
    mine = json.loads(export(ann))
    assert {o["name"] for o in mine["Pool"]} == {"red pool"} and "User" not in mine and "Tenant" not in mine
    # Another tenant sees nothing of it, and one that there is not is none.
    assert "red pool" not in export(admin)
    error(ann.get("configuration/export", headers={"X-Avi-Tenant": "admin"}), 403)
    error(ann.get("configuration/export", headers={"X-Avi-Tenant": "*"}), 400)


def test_wrong_files_change_nothing(world, admin):
    text = export(admin, full_system="true", passphrase=PASS)
    before = objects(world)
    file = json.loads(text)
    newer = json.dumps({**file, "META": {**file["META"], "format": 99, "spanwire_version": "9.9"}})
    pool = json.dumps({**file, "Pool": [{**file["Pool"][0], "name": "other"}]})
    moved = json.loads(text)
    moved["User"][0]["password"] = moved["User"][1]["password"]
    lost = json.loads(text)
    del lost["Tenant"]
    for broken, passphrase, sentence in (
            (text[:len(text) // 2], PASS, "damaged or was cut off"), ("", PASS, "cut off"), ("[]", PASS, "no exported"),
            ("{}", PASS, "no exported"), ('{"META": {"version": {"Version": "17.1"}}}', PASS, "another product"), (newer, PASS, "newer release (9.9"), (text, "wrong", "not the one of this file"),
            (text, None, "give the passphrase"), (pool, PASS, "not what was exported"),
            (json.dumps(moved), PASS, "not what was exported"), (json.dumps(lost), PASS, "not what was exported"),
            (text.replace('"kib":65536', '"kib":99999999'), PASS, "kdf")):
        query = {"passphrase": passphrase} if passphrase else {}
        assert sentence in error(bring(admin, broken, full_system="true", **query), 400), sentence
    assert "full_system=true" in error(bring(admin, text, passphrase=PASS), 400)
    assert "left out" in error(bring(admin, export(admin, full_system="true"), full_system="true"), 400)
    assert "one tenant" in error(bring(admin, export(admin), full_system="true"), 400)
    assert objects(world) == before and not (world.data / "restore" / "ready").exists()


def test_nobody_waits_for_a_large_tenant(world, admin):
    """Others are served between its slices; and one bad object of thousands takes all of them back."""
    admin.make("tenant", name="large")
    session, other = world.session(tenant="large"), world.session(tenant="large")
    session.make("pool", name="pool 7", description="of before")
    pool = json.loads(export(session))
    one = pool["Pool"][0]
    vips = [{"name": f"vip {n}", "uuid": f"vsvip-{n}", "vip": [{"vip_id": "1", "ip_address": {
        "addr": f"10.77.{n // 250}.{n % 250 + 1}", "type": "V4"}}]} for n in range(1000)]
    pool["Pool"] = [{**one, "name": f"pool {n}", "uuid": f"pool-{n}", "description": "of the file"} for n in range(2000)]
    waits, during, done = [], [], []

    def file():
        """As an export of such a tenant."""
        root = {**pool, "VsVip": vips, "META": {k: v for k, v in pool["META"].items() if k != "digest"}}
        root["META"]["digest"] = hashlib.sha256(json.dumps(root, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        return json.dumps(root)

    def bring_it(name, what):
        headers = {k: v for k, v in session.headers().items() if k != "Content-Type"}
        done.append(session.http.post(f"{world.url}/api/configuration/import", headers=headers,
                                      files={"file": (name, what)}, timeout=60))

    def watched(name, what):
        thread = threading.Thread(target=bring_it, args=(name, what))
        thread.start()
        while thread.is_alive():
            began = time.monotonic()
            during.append(other.get("pool?page_size=1").json()["count"])
            waits.append(time.monotonic() - began)
        thread.join()
        return done.pop()
    vips[990]["vip"][0]["ip_address"]["addr"] = "10.77.0.1"
    bad = watched("bad.json", file())
    assert "'vip 990' of the file" in error(bad, 400) and "10.77.0.1" in bad.text
    assert max(during) > 100 and other.get("vsvip?page_size=1").json()["count"] == 0
    left, = other.get("pool").json()["results"]
    assert left["name"] == "pool 7" and left["description"] == "of before"
    vips[990]["vip"][0]["ip_address"]["addr"] = "10.77.9.1"
    good = watched("good.json", file())
    assert good.status_code == 200 and good.json()["objects"] == 3000, good.text
    assert other.get("pool?page_size=1").json()["count"] == 2000
    assert other.find("pool", "pool 7")["description"] == "of the file"
    waits.sort()
    print(f"measured: while 3,000 objects are imported a list takes {1000 * waits[len(waits) // 2]:.0f} ms, "
          f"at most {1000 * waits[-1]:.0f} ms")
    assert len(waits) > 20


def test_a_tenant_moves(world, admin):
    """Into another tenant of the same controller, and of another one; twice is as once."""
    text = export(world.session("ann", GOOD, tenant="red"), passphrase=PASS)
    admin.make("tenant", name="green")
    admin.make("vrfcontext", name="green vrf")
    green = world.session(tenant="green")
    # The address is taken in this routing domain: nothing at all is imported.
    assert "10.66.0.1" in error(bring(green, text, passphrase=PASS), 400)
    assert green.get("pool").json()["count"] == 0 and green.get("healthmonitor?name=red%20hm").json()["count"] == 0
    admin.make("tenant", name="own", config_settings={"tenant_vrf": True})
    own = world.session(tenant="own")
    for _ in range(2):
        answer = bring(own, text, passphrase=PASS)
        assert answer.status_code == 200 and answer.json()["objects"] == 4, answer.text
        vs = own.get("virtualservice?include_name").json()["results"][0]
        pool = own.get("pool?include_name").json()["results"]
        assert len(pool) == 1 and pool[0]["url"].split("#")[0] in vs["pool_ref"]
        hm = own.find("healthmonitor", "red hm")
        assert hm["uuid"] in pool[0]["health_monitor_refs"][0] and hm["tenant_ref"] == own.find("pool", "red pool")["tenant_ref"]
    assert world.session(tenant="red").get("pool").json()["count"] == 1
    # Without the rights of a writer nothing is written.
    admin.make("user", name="reader", password=GOOD, access=[
        {"role_ref": "/api/role?name=Application-Operator", "tenant_ref": "/api/tenant?name=own"}])
    error(bring(world.session("reader", GOOD, tenant="own"), text, passphrase=PASS), 403)


def told(session, event):
    return [e["event_description"] for e in
            session.get(f"analytics/logs?type=2&page_size=1000&filter=eq(event_id,{event})").json()["results"]]


def now(session, name, config):
    return session.make("scheduler", name=name, run_mode="RUN_MODE_NOW", backup_config_ref=f"/api/backupconfiguration?name={config}")


def test_scheduled_backups_keep_so_many(world, admin):
    # The disk is not there for the first one.
    (world.data / "backups").write_text("in the way")
    admin.make("backupconfiguration", name="nightly", backup_file_prefix="night", backup_passphrase=PASS, maximum_backups_stored=2)
    now(admin, "broken", "nightly")
    until(lambda: told(admin, "SCHEDULER_ACTION_FAILURE"), "the failure is told")
    assert "Not a directory" in told(admin, "SCHEDULER_ACTION_FAILURE")[0] and admin.get("backup").json()["count"] == 0
    (world.data / "backups").unlink()
    for n in range(4):
        now(admin, f"once {n}", "nightly")
        until(lambda: len(told(admin, "SCHEDULER_ACTION_SUCCESS")) == n + 1, f"backup {n} is made")
    kept = admin.get("backup?include_name").json()["results"]
    assert len(kept) == 2 and {o["scheduler_ref"].split("#")[1] for o in kept} == {"once 2", "once 3"}
    files = {f.name for f in (world.data / "backups").iterdir()}
    assert files == {o["uuid"] + ".json" for o in kept}
    assert all((world.data / "backups" / f).stat().st_mode & 0o777 == 0o600 for f in files)
    one = kept[0]
    assert one["file_name"].startswith("night_") and one["local_file_url"] == f"/api/backup/{one['uuid']}/file"
    text = admin.get(f"backup/{one['uuid']}/file").text
    assert "full system" in error(bring(admin, text, passphrase=PASS), 400)
    assert "Backup" not in json.loads(text)  # a file on this disk is of no use elsewhere
    # A file goes with its object; the object stays when its scheduler goes.
    assert admin.delete(f"scheduler/{admin.find('scheduler', 'once 3')['uuid']}").status_code == 204
    assert admin.delete(f"backup/{one['uuid']}").status_code == 204
    assert len(list((world.data / "backups").iterdir())) == 1


def test_a_scheduler_of_a_tenant_backs_up_that_tenant(world, admin):
    rights = [{"resource": f"PERMISSION_{r}", "type": "WRITE_ACCESS"} for r in ("CONTROLLER", "POOL")]
    admin.make("role", name="keeper", privileges=rights)
    for tenant in ("red", "admin"):
        admin.make("user", name=f"keeper of {tenant}", password=GOOD, access=[
            {"role_ref": "/api/role?name=keeper", "tenant_ref": f"/api/tenant?name={tenant}"}])
    red, other = (world.session(f"keeper of {t}", GOOD, tenant=t) for t in ("red", "admin"))
    red.make("backupconfiguration", name="weekly")
    now(red, "soon", "weekly")
    until(lambda: red.get("backup").json()["count"], "there is a backup")
    file = json.loads(red.get(f"backup/{red.get('backup').json()['results'][0]['uuid']}/file").text)
    assert {o["name"] for o in file["Pool"]} == {"red pool"} and "User" not in file and "Tenant" not in file
    assert "without secrets" in told(world.session(tenant="red"), "SCHEDULER_ACTION_SUCCESS")[0]
    # Of admin it would be everything.
    assert "superuser" in error(other.post("scheduler", {"name": "x", "run_mode": "RUN_MODE_NOW",
                                                         "backup_config_ref": "/api/backupconfiguration?name=nightly"}), 403)
    whole = other.get("backup").json()["results"][0]["uuid"]
    assert "superuser" in error(other.get(f"backup/{whole}/file"), 403)
    error(red.get(f"backup/{whole}/file"), 404)


def test_schedulers_that_make_no_sense(world, admin):
    for more, field in (({"frequency": 1}, "frequency_unit"), ({"frequency_unit": "SCHEDULER_FREQUENCY_UNIT_DAY"}, "frequency"),
                        ({"frequency": 1, "frequency_unit": "SCHEDULER_FREQUENCY_UNIT_DAY", "start_date_time": "noon"}, "start_date_time")):
        text = error(admin.post("scheduler", {"name": "x", "backup_config_ref": "/api/backupconfiguration?name=nightly", **more}), 400)
        assert text.startswith(field), text
    admin.make("scheduler", name="daily", backup_config_ref="/api/backupconfiguration?name=nightly", frequency=1,
                       frequency_unit="SCHEDULER_FREQUENCY_UNIT_DAY", start_date_time="2026-01-01T03:00:00Z")
    for field, value in (("upload_to_remote_host", True), ("upload_to_s3", True), ("backup_file_prefix", "../x")):
        error(admin.post("backupconfiguration", {"name": "y", field: value}), 400)
    admin.make("backupconfiguration", name="nowhere", save_local=False)
    now(admin, "nowhere", "nowhere")
    until(lambda: "nowhere to save" in told(admin, "SCHEDULER_ACTION_FAILURE")[0], "it is told")


def test_a_full_system_on_a_fresh_controller(world, admin, tmp_path):
    token = admin.post("user-token", {"hours": 5}).json()["token"]
    text = export(admin, full_system="true", passphrase=PASS)
    before = objects(world)
    other = Fixed(tmp_path).start()
    try:
        fresh = other.session()
        fresh.make("pool", name="of the fresh one")
        answer = fresh.http.post(f"{other.url}/api/configuration/import", files={"file": ("system.json", text)},
                                 data={"passphrase": PASS, "full_system": "true"},
                                 headers={k: v for k, v in fresh.headers().items() if k != "Content-Type"})
        assert answer.status_code == 200 and answer.json()["status"] == "restored", answer.text
        other.wait_anew()
        assert other.session(login=False).login(username="admin", password=other.password).status_code == 401
        other.password = world.password
        assert objects(other) == before
        assert (other.data / "ca.key").read_text() == (world.data / "ca.key").read_text()
        assert (other.data / "kek").read_text() != (world.data / "kek").read_text()
        assert (other.data / "before-restore" / "store.db").exists() and not (other.data / "restore" / "ready").exists()
        assert other.session("ann", GOOD, tenant="red").get("pool").json()["count"] == 1
        assert other.session(login=False).login(username="admin", token=token).status_code == 200
        events = other.session().get("analytics/logs?type=2").json()["results"]
        assert any("restored by admin" in e["event_description"] for e in events)
        assert other.stop() == 0
        other.start()  # and it stays so
        other.password = world.password
        assert objects(other) == before
    finally:
        if other.process.poll() is None:
            assert other.stop() == 0


def test_two_full_systems_at_once_are_one(world, admin, tmp_path):
    """There is one place for what comes: a second import waits outside, and the controller that follows is whole."""
    text = export(admin, full_system="true", passphrase=PASS)
    other = Fixed(tmp_path).start()
    try:
        headers = "".join(f"{name}: {value}\r\n" for name, value in other.session().headers().items())
        whole = (f"POST /api/configuration/import?full_system=true&passphrase={quote(PASS)} HTTP/1.1\r\nHost: {other.host}\r\n"
                 f"{headers}Content-Length: {len(text.encode())}\r\n\r\n{text}").encode()
        with contextlib.ExitStack() as stack:
            lines = [stack.enter_context(other.tls()) for _ in range(4)]
            for line in lines:
                line.sendall(whole[:-100])
            # The ends of all are there before it reads one of them.
            other.process.send_signal(signal.SIGSTOP)
            for line in lines:
                line.sendall(whole[-100:])
            other.process.send_signal(signal.SIGCONT)
            answers = [read_answer(line) for line in lines]
        assert sorted(status for status, _, _ in answers) == [200, 503, 503, 503], answers
        other.wait_anew()
        other.password = world.password
        assert objects(other) == objects(world)
        # One that is refused makes place for the next.
        one = other.session()
        assert "passphrase" in error(bring(one, text, full_system="true", passphrase="wrong"), 400)
        assert "passphrase" in error(bring(one, text, full_system="true", passphrase="wrong"), 400)
    finally:
        if other.process.poll() is None:
            assert other.stop() == 0
