"""Export and import of the configuration; what is wrong with a file is said, and changes nothing."""

import json
import select

import pytest

from contract import Controller, error, server, vip

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
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
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
        if kind.get("runtime"):
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
            ("{}", PASS, "no exported"), (newer, PASS, "newer release (9.9"), (text, "wrong", "not the one of this file"),
            (text, None, "give the passphrase"), (pool, PASS, "not what was exported"),
            (json.dumps(moved), PASS, "not what was exported"), (json.dumps(lost), PASS, "not what was exported"),
            (text.replace('"kib":65536', '"kib":99999999'), PASS, "kdf")):
        query = {"passphrase": passphrase} if passphrase else {}
        assert sentence in error(bring(admin, broken, full_system="true", **query), 400), sentence
    assert "full_system=true" in error(bring(admin, text, passphrase=PASS), 400)
    assert "left out" in error(bring(admin, export(admin, full_system="true"), full_system="true"), 400)
    assert "one tenant" in error(bring(admin, export(admin), full_system="true"), 400)
    assert objects(world) == before and not (world.data / "restore" / "ready").exists()


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
