"""What strangers send: one clear sentence, and nothing is stored."""

import json
import socket
import ssl
import statistics
import threading
import time

import pytest

from contract import cpu_ms, error, read_answer, server, vip


def deep(levels):
    return "[" * levels + "]" * levels


BODIES = [
    ("", "body"), ("{", "line 1"), ("[]", "object"), ("1", "object"), ("null", "object"), ('"x"', "object"),
    ('{"name": "x",}', "line 1"), ("{'name': 'x'}", "line 1"), ('{"name": "x"} trailing', "line 1"),
    ('{"name": "x", "name": "y"}', "duplicate"), (b'{"name": "\xff\xfe"}', "UTF-8"), (b'{"name": "\xed\xa0\x80"}', "UTF-8"),
    ('{"name": "a\\u0000b"}', "line 1"), ('{"name": "\\ud800"}', "line 1"), (b"\x00\x01\x02", "line 1"),
    (deep(100000), "deeper"), ('{"name": ' + deep(65) + "}", "deeper"),
    ('{"name": "x", "default_server_port": 1e999}', "line 1"),
    ('{"name": "x", "default_server_port": 99999999999999999999}', "line 1"),
    ('{"name": null}', "name"), ('{"name": ""}', "name"), ("{}", "name"), ('{"name": 5}', "name"),
    ('{"name": "two\\nlines"}', "name"), ('{"name": "\\u0007"}', "name"), ('{"name": ["x"]}', "name"), ('{"name": {"x": 1}}', "name"), (json.dumps({"name": "x" * 300}), "name"),
    ('{"name": "x", "default_server_port": 0}', "default_server_port"),
    ('{"name": "x", "default_server_port": 65536}', "default_server_port"),
    ('{"name": "x", "default_server_port": 1.5}', "default_server_port"),
    ('{"name": "x", "default_server_port": "80x"}', "default_server_port"),
    ('{"name": "x", "default_server_port": true}', "default_server_port"),
    ('{"name": "x", "enabled": "perhaps"}', "enabled"), ('{"name": "x", "enabled": 2}', "enabled"),
    ('{"name": "x", "lb_algorithm": "LB_ALGORITHM_MAGIC"}', "lb_algorithm"),
    ('{"name": "x", "lb_algorithm": 1}', "lb_algorithm"), ('{"name": "x", "servers": {}}', "servers"),
    ('{"name": "x", "servers": [1]}', "servers[0]"), ('{"name": "x", "servers": [{}]}', "servers[0].ip"),
    ('{"name": "x", "servers": [{"ip": {"addr": "10.0.0.256", "type": "V4"}}]}', "servers[0].ip.addr"),
    ('{"name": "x", "servers": [{"ip": {"addr": "10.0.0.1", "type": "V5"}}]}', "servers[0].ip.type"),
    ('{"name": "x", "servers": [{"ip": {"addr": "10.0.0.1", "type": "V4"}, "port": 65536}]}', "servers[0].port"),
    (json.dumps({"name": "x", "default_server_port": 81, "servers": [server("10.0.0.1"), server("10.0.0.1", port=81)]}),
     "servers[1]: 10.0.0.1 port 81 is servers[0] already."),
    ('{"name": "x", "health_monitor_refs": "one"}', "health_monitor_refs"),
    ('{"name": "x", "health_monitor_refs": [1]}', "health_monitor_refs[0]"),
    ('{"name": "x", "cloud_ref": 1}', "cloud_ref"), ('{"name": "x", "tenant_ref": []}', "tenant_ref"),
]


@pytest.mark.parametrize("body,words", BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_bad_bodies(admin, body, words):
    before = admin.get("pool").json()["count"]
    text = error(admin.post("pool", body), 400)
    assert words in text and len(text) < 1000
    assert admin.get("pool").json()["count"] == before


def test_bad_bodies_change_nothing(admin):
    pool = admin.make("pool", name="steady", servers=[server("10.0.0.1")])
    before = admin.get(f"pool/{pool['uuid']}").json()
    for body, _ in BODIES:
        assert admin.put(f"pool/{pool['uuid']}", body).status_code in (400, 413)
    assert admin.get(f"pool/{pool['uuid']}").json() == before


def test_a_get_does_not_read_its_empty_body(admin):
    assert admin.send("GET", "pool", "", headers={"Content-Type": "application/json"}).status_code == 200


def test_bodies_that_are_too_large(controller, admin):
    large = json.dumps({"name": "large", "description": "x" * (3 << 20)})
    assert "2097152" in error(admin.post("pool", large), 413)
    # In pieces, without saying how long.
    assert "2097152" in error(admin.send("POST", "pool", (b"x" * 65536 for _ in range(64))), 413)
    assert admin.find("pool", "large") is None
    # Far too large: the connection may end before the answer, the controller stays.
    head = (f"POST /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nContent-Length: 99999999999\r\n\r\n").encode()
    assert controller.raw(head)[0] == 413
    assert admin.get("pool").status_code == 200


def test_just_below_the_limit_is_read(admin):
    answer = admin.make("pool", name="many", servers=[server(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(5000)])
    assert len(answer["servers"]) == 5000
    assert admin.delete("pool/" + answer["uuid"]).status_code == 204


def test_long_lists_hold_up_nobody(controller, admin):
    """What is compared within a list is not compared each with each."""
    before = sum(cpu_ms(controller.process.pid))
    many = admin.make("vsvip", name="many", vip=[vip(f"10.66.{i >> 8}.{i & 255}") for i in range(4000)])
    assert admin.put(f"vsvip/{many['uuid']}", many).status_code == 200
    text = error(admin.post("vsvip", {"name": "twice", "vip": [
        vip(f"10.67.{i % 3999 >> 8}.{i % 3999 & 255}") for i in range(4000)]}), 400)
    assert text == "vip[3999].ip_address: vip[0] has the same address."
    assert sum(cpu_ms(controller.process.pid)) - before < 5000
    assert admin.delete(f"vsvip/{many['uuid']}").status_code == 204


@pytest.mark.parametrize("target", [
    "/api/../etc/passwd", "/api/%2e%2e/pool", "/api/pool/..", "/api/pool/%2e%2e%2f%2e%2e%2fetc", "/api/pool/%",
    "/api/pool/%zz", "/api/pool/%00", "/api/pool/%ff", "/api/pool?name=%ff", "/api/pool?name=%0d%0aX: y",
    "/api/pool?" + "a&" * 300, "/" + "a" * 2000, "/api/pool/..%5c..%5cx"])
def test_bad_targets(controller, admin, target):
    status, _, body = controller.raw((
        f"GET {target} HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={admin.sid}\r\n\r\n").encode())
    assert status == 400
    assert list(json.loads(body)) == ["error"]


@pytest.mark.parametrize("head", [
    "GET /api/pool HTTP/1.1\r\n\r\n", "GET /api/pool HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /api/pool HTTP/1.1\r\nHost: x\"><script>\r\n\r\n", "GET /api/pool HTTP/1.1\r\nHost: {}\r\n\r\n".format("h" * 300)])
def test_bad_hosts_do_not_come_back_in_answers(controller, head):
    status, _, body = controller.raw(head.encode())
    assert status == 400 and b"script" not in body


@pytest.mark.parametrize("request_line,headers,host", [
    ("GET https://elsewhere.example:444/api/initial-data?x=1 HTTP/1.1", "Host: this\r\n", "elsewhere.example:444"),
    ("GET HTTP://elsewhere.example HTTP/1.1", "Host: this\r\n", None), ("GET /api/initial-data HTTP/1.0", "", None)])
def test_other_ways_to_say_where(controller, admin, request_line, headers, host):
    """A proxy's form of a target, and the probe of a load balancer, which speaks HTTP/1.0 without a Host."""
    status, _, body = controller.raw(f"{request_line}\r\n{headers}\r\n".encode())
    assert status == (200 if "/api/" in request_line else 404), body
    request = f"{request_line.replace('initial-data', 'cloud').replace('?x=1', '')}\r\n{headers}Cookie: sessionid={admin.sid}\r\n\r\n"
    if status == 200:
        one = json.loads(controller.raw(request.encode())[2])["results"][0]
        assert one["url"].startswith(f"https://{host or controller.host}/api/cloud/")


def test_white_space_behind_a_header_s_value_is_none_of_it(controller, admin):
    head = (f"GET /api/pool HTTP/1.1\r\nHost: {controller.host} \t\r\nX-Avi-Tenant: admin \r\nX-Avi-Version: 22.1.3\t\r\n"
            f"Cookie: sessionid={admin.sid}\r\n\r\n")
    status, _, body = controller.raw(head.encode())
    assert status == 200, body


def test_a_packed_body_is_refused_in_words(admin):
    assert "Content-Encoding" in error(admin.send("POST", "pool", b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), 415)
    assert admin.send("POST", "pool", {"name": "unpacked"}, headers={"Content-Encoding": "identity"}).status_code == 201


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01" * 100, b"GET / HTTP/9.9\r\n\r\n",
                                  b"GET /api/pool HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                                  b"GET /api/pool HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n"],
                         ids=["empty", "no target", "handshake bytes", "version", "length", "too many headers"])
def test_what_is_no_http_ends_and_hurts_nobody(controller, admin, data):
    with controller.tls() as s:
        try:
            s.sendall(data)
            # An unfinished head is waited for: that is the server's good right, and not ours to wait for here.
            s.settimeout(1)
            while s.recv(65536):
                pass
        except (OSError, ssl.SSLError):
            pass
    assert admin.get("pool").status_code == 200


def test_no_plaintext_http(controller, admin):
    with socket.create_connection(("127.0.0.1", int(controller.host.split(":")[1])), 10) as s:
        s.sendall(b"GET /api/initial-data HTTP/1.1\r\nHost: x\r\n\r\n")
        s.settimeout(10)
        try:
            answer = s.recv(4096)
        except ConnectionResetError:
            answer = b""
        assert b"HTTP/1.1 200" not in answer
    assert admin.get("pool").status_code == 200


def test_slow_clients_hold_up_nobody(controller, admin):
    """A hundred that send a byte now and then, in the head and in the body; others are answered as before."""
    def twenty(when):
        start = time.monotonic()
        for i in range(20):
            admin.make("pool", name=f"{when} {i}")
        return time.monotonic() - start
    slow, alone = [], twenty("before")
    try:
        for i in range(100):
            s = controller.tls()
            slow.append(s)
            s.sendall(b"POST /api/pool HT" if i % 2 else
                      f"POST /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nContent-Length: 1000\r\n\r\n{{".encode())
        assert twenty("between") < 2 + 10 * alone
    finally:
        for s in slow:
            s.close()


def test_clients_that_leave_in_the_middle(controller, admin):
    body = json.dumps({"name": "left"}).encode()
    for cut in range(0, len(body), 3):
        with controller.tls() as s:
            s.sendall((f"POST /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nX-CSRFToken: {admin.csrf}\r\n"
                       f"Cookie: sessionid={admin.sid}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body[:cut])
    # And one that does not wait for the answer of a slow password.
    for _ in range(10):
        with controller.tls() as s:
            login = b"username=admin&password=wrong"
            s.sendall((f"POST /login HTTP/1.1\r\nHost: {controller.host}\r\nContent-Length: {len(login)}\r\n"
                       f"Content-Type: application/x-www-form-urlencoded\r\n\r\n").encode() + login)
    assert admin.find("pool", "left") is None
    assert admin.get("pool").status_code == 200


def test_a_flood_of_wrong_passwords_does_not_stop_the_others(controller, admin):
    """Each costs an argon2id hash on the pool; the core goes on: nobody waits for the hashes of eight."""
    stop, seen = threading.Event(), []

    def fifty():
        taken = []
        for _ in range(50):
            start = time.monotonic()
            assert admin.get("pool?page_size=1").status_code == 200
            taken.append(time.monotonic() - start)
        return statistics.median(taken), max(taken)

    def guess():
        s = controller.session(login=False, password="wrong")
        while not stop.is_set():
            seen.append(s.login().status_code)

    median, worst = fifty()
    guessers = [threading.Thread(target=guess) for _ in range(8)]
    for g in guessers:
        g.start()
    try:
        meanwhile = fifty()
        assert meanwhile[0] < 0.1 + 10 * median and meanwhile[1] < 1.5 + 10 * worst
    finally:
        stop.set()
        for g in guessers:
            g.join(20)
    assert seen and set(seen) <= {401, 503}


def test_guessing_passwords_does_not_wash_the_log_away(controller, admin):
    s = controller.session(login=False, password="wrong")
    before = admin.get("analytics/logs?type=2&filter=eq(event_id,USER_LOGIN)").json()["count"]
    start = time.monotonic()
    for _ in range(30):
        assert s.login().status_code == 401
    seconds = time.monotonic() - start
    log = admin.get("analytics/logs?type=2&filter=eq(event_id,USER_LOGIN)").json()
    assert log["count"] - before <= seconds + 2
    assert "refused" in log["results"][0]["event_description"]
    assert log["results"][0]["event_details"]["config_user_login_details"]["status"] == "SYSERR_FAILURE"


def test_a_login_is_small(controller):
    s = controller.session(login=False, password="x" * 20000)
    assert "16384" in error(s.login(), 413)


def test_pipelined_requests_are_answered_in_order(controller, admin):
    one = (f"GET /api/pool?page_size=1 HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={admin.sid}\r\n\r\n")
    two = (f"GET /api/nosuch HTTP/1.1\r\nHost: {controller.host}\r\nCookie: sessionid={admin.sid}\r\n\r\n")
    with controller.tls() as s:
        s.sendall((one + two).encode())
        first = read_answer(s)
        assert first[0] == 200
        rest = first[2][int([h for h in first[1].split(b"\r\n") if h.lower().startswith(b"content-length")][0].split(b":")[1]):]
        assert b"404" in (rest or read_answer(s)[1])


def test_headers_of_ours_carry_no_strangers_bytes(admin):
    answer = admin.post("pool", {"name": "head", "a\r\nX-Evil: 1": 1, "ü" * 3000: 2})
    assert answer.status_code == 201
    assert "X-Evil" not in answer.headers
    assert len(answer.headers["X-Spanwire-Ignored"]) <= 2000


def test_the_same_vip_twice_at_once(controller, admin):
    """Two writers race for one address: one of them gets it."""
    results = []

    def take(i):
        results.append(controller.session().post("vsvip", {"name": f"race {i}", "vip": [vip("10.66.0.1")]}).status_code)

    racers = [threading.Thread(target=take, args=(i,)) for i in range(8)]
    for r in racers:
        r.start()
    for r in racers:
        r.join(30)
    assert sorted(results) == [201] + [400] * 7
