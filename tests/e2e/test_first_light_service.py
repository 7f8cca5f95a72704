"""A virtual service answers through an engine, and its servers share the work."""

import collections
import socket

import pytest

from lab import ApiError, until


ROUND_ROBIN = {"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"}


def answers(client, url, count):
    """Who answered, how often; each request on its own connection."""
    return collections.Counter(client.fresh_get(url).text.strip() for _ in range(count))


@pytest.mark.parametrize("http", [True, False], ids=["http", "l4"])
def test_it_answers_over_ipv4_and_ipv6(lab, http):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], http=http, v6=True)
    assert client.get(vs.url).text == "web1\n"
    assert client.get(vs.url6).text == "web1\n"
    assert len(client.get(vs.url + "files/1048576").content) == 1 << 20


def test_servers_may_speak_ipv6(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], servers_v6=True)
    assert client.get(vs.url).text == "web1\n"


def test_servers_without_a_port_have_the_pool_s(lab):
    web, client = lab.server(port=8081), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[{"ip": {"addr": web.ip4, "type": "V4"}}],
                             pool_more={"default_server_port": 8081}).wait_servers_up(1)
    assert client.get(vs.url).text == "web1\n"


def test_round_robin_gives_each_server_its_turn(lab):
    web, client = [lab.server() for _ in range(3)], lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=web, pool_more=ROUND_ROBIN).wait_servers_up(3)
    assert answers(client, vs.url, 30) == {"web1": 10, "web2": 10, "web3": 10}


def test_ratios_are_kept(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine(workers=1)
    servers = lab.pool_body(web)
    servers[1]["ratio"] = 3
    vs = lab.virtual_service(pool=servers, pool_more=ROUND_ROBIN).wait_servers_up(2)
    assert answers(client, vs.url, 40) == {"web1": 10, "web2": 30}


def test_least_connections_goes_where_it_is_quiet(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=web, http=False, pool_more={
        "lb_algorithm": "LB_ALGORITHM_LEAST_CONNECTIONS"}).wait_servers_up(2)
    held = [client.connect(vs.vip, 80) for _ in range(4)]     # two at each

    def first_word(connection):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(4096).decode().rsplit("\n", 2)[1]
    def engine_has(count):
        return vs.pool_runtime()[0]["stats"].get("conn_open", 0) == count
    at = [first_word(connection) for connection in held]
    assert sorted(at) == ["web1", "web1", "web2", "web2"]
    until(lambda: engine_has(2), "web1 has two connections")
    for connection, name in zip(held, at):
        if name == "web1":
            connection.close()
    until(lambda: engine_has(0), "web1 is idle, and the engine knows it")
    assert answers(client, vs.url, 2) == {"web1": 2}
    for connection in held:
        connection.close()


def test_a_sick_server_is_taken_out_and_explained(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=web).wait_servers_up(2)
    web[1].fall_sick()
    until(lambda: vs.server_state(web[1])["state"] == "OPER_DOWN", "web2 is down")
    assert "HTTP 503" in str(vs.server_state(web[1]))
    assert set(answers(client, vs.url, 10)) == {"web1"}
    web[1].recover()
    vs.wait_servers_up(2)
    assert set(answers(client, vs.url, 10)) == {"web1", "web2"}


def test_a_tcp_monitor_notices_a_closed_port(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=web, monitor="tcp").wait_servers_up(2)
    web[0].stop()
    until(lambda: vs.server_state(web[0])["state"] == "OPER_DOWN", "web1 is down")
    assert "refused" in str(vs.server_state(web[0])).lower()
    assert set(answers(client, vs.url, 10)) == {"web2"}


def test_a_disabled_server_drains(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=web, http=False).wait_servers_up(2)
    held = [client.connect(vs.vip, 80) for _ in range(2)]
    servers = lab.pool_body(web)
    servers[0]["enabled"] = False
    vs.patch_pool(replace={"servers": servers})
    until(lambda: set(answers(client, vs.url, 4)) == {"web2"}, "no new connection goes to web1")
    for connection in held:         # what was there goes on
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)
        connection.close()


def test_the_server_learns_who_the_client_is(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web])
    client.get(vs.url + "files/128")
    until(lambda: web.requests("/files/128"), "the request is in the server's log")
    assert f'"{client.ip4}"' in web.requests("/files/128")[0]


def test_http_as_it_is_spoken(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web])
    assert client.request("HEAD", vs.url + "files/128").headers["Content-Length"] == "128"
    assert client.get(vs.url + "nowhere").status_code == 404
    line = client.connect(vs.vip, 80)
    line.sendall(b"GET /files/128 HTTP/1.1\r\nHost: a\r\n\r\n" * 3)      # pipelined
    got = b""
    while got.count(b"xxx\n") < 3:
        piece = line.recv(65536)
        assert piece, f"closed after {got!r}"
        got += piece
    line.close()
    bad = client.connect(vs.vip, 80)
    bad.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n")
    assert b" 400 " in bad.recv(4096)
    bad.settimeout(30)
    assert bad.recv(4096) == b""
    bad.close()


def test_no_engine_can_take_it_and_it_says_why(lab):
    web = lab.server()
    lab.engine()
    vs = lab.virtual_service(pool=[web], wait=False)
    vs.wait_up()
    nowhere = lab.api.post("vsvip", {"name": "far", "vip": [
        {"vip_id": "1", "ip_address": {"addr": "203.0.113.9", "type": "V4"}}]})
    far = lab.api.post("virtualservice", {
        "name": "far", "services": [{"port": 80}], "vsvip_ref": f"/api/vsvip/{nowhere['uuid']}",
        "pool_ref": f"/api/pool/{vs.pool_uuid}"})

    def status():
        return lab.api.get(f"virtualservice/{far['uuid']}/runtime")["oper_status"]
    until(lambda: status().get("reason"), "there is a reason")
    assert status()["state"] != "OPER_UP"
    assert "203.0.113.9" in str(status()["reason"]) or "network" in str(status()["reason"])


def test_tls_is_refused_not_served_as_plaintext(lab):
    web = lab.server()
    lab.engine()
    with pytest.raises(ApiError) as refusal:
        lab.virtual_service(pool=[web], services=[{"port": 443, "enable_ssl": True}])
    assert refusal.value.status == 400 and "enable_ssl" in refusal.value.text


def test_a_service_goes_when_it_is_deleted(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web])
    assert client.get(vs.url).ok
    lab.api.delete(f"virtualservice/{vs.uuid}")

    def gone():
        try:
            client.connect(vs.vip, 80, timeout=0.2).close()
        except (socket.timeout, OSError):
            return True
        return False
    until(gone, "nobody answers at the address")
