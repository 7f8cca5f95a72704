"""Accounts under a useraccountprofile: locks, sessions at once, the age of passwords and those that do not come again."""

import contextlib
import json
import sqlite3

import pytest

from contract import Controller, error, read_answer

GOOD, DAY_US = "Some password 1", 24 * 3600 * 1000000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    controller = Controller(tmp_path_factory.mktemp("accounts")).start()
    try:
        yield controller
    finally:
        assert controller.stop() == 0


def person(world, name, **profile):
    admin = world.session()
    admin.make("useraccountprofile", name=f"of {name}", **profile)
    return admin.make("user", name=name, password=GOOD, user_profile_ref=f"/api/useraccountprofile?name=of%20{name}",
                      access=[{"role_ref": "/api/role?name=Tenant-Admin", "tenant_ref": "/api/tenant/admin"}])


def login(world, name, password=GOOD):
    return world.session(login=False).login(username=name, password=password)


def test_failures_lock_an_account(world):
    uuid = person(world, "ann", max_login_failure_count=3)["uuid"]
    for _ in range(2):
        assert login(world, "ann", "guess").status_code == 401
    assert login(world, "ann").status_code == 200  # and the counting starts anew
    for _ in range(3):
        assert "locked" not in login(world, "ann", "guess").text
    refused = login(world, "ann")
    assert refused.status_code == 401 and "Invalid credentials" in refused.text and "locked" in refused.text
    admin = world.session()
    events = admin.get("analytics/logs?type=2&filter=co(event_description,locked)").json()["results"]
    assert [e["obj_name"] for e in events] == ["ann"] and "3 failed logins" in events[0]["event_description"]
    # A name of nobody locks alike, and tells nobody that it is one.
    for _ in range(3):
        login(world, "nobody", "guess")
    assert login(world, "nobody", "guess").text == refused.text
    # A new password opens it.
    assert admin.patch(f"user/{uuid}", {"replace": {"password": "another One 1"}}).status_code == 200
    assert login(world, "ann", "another One 1").status_code == 200


def test_guesses_at_once_count_one_by_one(world):
    """Many logins under way at the same time are no way round the lock: the good one comes behind the bad ones."""
    person(world, "eve", max_login_failure_count=3)
    body = [json.dumps({"username": "eve", "password": p}).encode() for p in ["guess"] * 12 + [GOOD]]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(world.tls()) for _ in body]
        # A handshake that the server has yet to end would come in front of what others said before.
        for s in sockets:
            s.sendall(b"GET /api/cluster/status HTTP/1.1\r\nHost: %s\r\n\r\n" % world.host.encode())
            assert read_answer(s)[0] == 200
        for s, b in zip(sockets, body):
            if s is sockets[-1]:  # an answer to who asks now says that all that came before is being read
                assert world.session(login=False).http.get(f"{world.url}/api/cluster/status").status_code == 200
            s.sendall(b"POST /login HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                      % (world.host.encode(), len(b), b))
        assert [read_answer(s)[0] for s in sockets] == [401] * len(body)
    assert "locked" in login(world, "eve").text


def test_the_first_user_is_not_locked_out(world):
    for _ in range(5):
        assert login(world, "admin", "guess").status_code == 401
    assert login(world, "admin", world.password).status_code == 200
    admin = world.session()
    assert admin.get("user/user-1?include_name").json()["user_profile_ref"].endswith("#No-Lockout-User-Account-Profile")


def test_sessions_at_once(world):
    person(world, "bea", max_concurrent_sessions=2)
    one, two = (world.session("bea", GOOD) for _ in range(2))
    assert one.get("pool").status_code == 200  # so `two` slept longest
    three = world.session("bea", GOOD)
    assert [s.get("pool").status_code for s in (one, two, three)] == [200, 401, 200]


def test_passwords_do_not_come_again(world):
    uuid = person(world, "cyd", max_password_history_count=2)["uuid"]
    cyd = world.session("cyd", GOOD)

    def change(old, new):
        return cyd.put("useraccount", {"password": new, "old_password": old})
    # A task that sets the password comes again: nothing changes, and nobody is out.
    other = world.session("cyd", GOOD)
    assert change(GOOD, GOOD).status_code == 200 and other.get("pool").status_code == 200
    assert change(GOOD, "Second one 2").status_code == 200
    assert "one of the last 2" in error(change("Second one 2", GOOD), 400)
    admin = world.session()
    assert "one of the last" in error(admin.patch(f"user/{uuid}", {"replace": {"password": GOOD}}), 400)
    assert change("Second one 2", "Third one 3").status_code == 200
    assert change("Third one 3", GOOD).status_code == 200
    assert "argon2" not in admin.get(f"user/{uuid}").text


def test_strength(world):
    admin = world.session()
    portal = {"password_strength_check": True, "minimum_password_length": 10}
    assert admin.patch("systemconfiguration", {"replace": {"portal_configuration": portal}}).status_code == 200
    for weak, why in (("Short 1", "10"), ("only small letters", "three of"), ("onlysmall123", "three of")):
        assert why in error(admin.post("user", {"name": "weak", "password": weak}), 400)
    assert admin.post("user", {"name": "strong", "password": "Not so small 1"}).status_code == 201
    assert admin.patch("systemconfiguration", {"replace": {"portal_configuration": {}}}).status_code == 200
    assert admin.post("user", {"name": "weak", "password": "only small letters"}).status_code == 201


def test_old_passwords_are_for_changing_only(world):
    uuid = person(world, "dot", credentials_timeout_threshold=90)["uuid"]
    assert world.session().patch("systemconfiguration", {"replace": {"portal_configuration": {
        "allow_basic_authentication": True}}}).status_code == 200
    assert world.session("dot", GOOD).get("pool").status_code == 200
    world.kill()
    with contextlib.closing(sqlite3.connect(world.data / "store.db")) as db, db:
        (text,) = db.execute("SELECT value FROM value WHERE space = 'password' AND key = ?", (uuid,)).fetchone()
        kept = json.loads(text)
        kept["set_us"] -= 91 * DAY_US
        db.execute("UPDATE value SET value = ? WHERE space = 'password' AND key = ?", (json.dumps(kept), uuid))
    world.start()
    dot = world.session("dot", GOOD)
    assert "too old" in error(dot.get("pool"), 403) and "too old" in error(dot.post("pool", {"name": "x"}), 403)
    assert "too old" in dot.http.get(world.url + "/api/pool", auth=("dot", GOOD), cookies={}).text
    assert "one of the last 1" in error(dot.put("useraccount", {"password": GOOD, "old_password": GOOD}), 400)
    assert dot.put("useraccount", {"password": "Brand new 9", "old_password": GOOD}).status_code == 200
    assert dot.get("pool").status_code == 200
    assert world.session("dot", "Brand new 9").get("pool").status_code == 200
