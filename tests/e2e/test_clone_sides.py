"""Copies of the clients' side: from the client's SYN on, whole connections only, and nothing for who is not copied."""

import socket
import struct

import pytest
from scapy.all import IP, TCP, Ether
from test_first_light_clone import books_closed
from test_vrf import Domain, join, wait_up

from lab import until
from lab.packets import Conversation


def profile(lab, sensors, side, **more):
    made = lab.api.post("trafficcloneprofile", {
        "name": f"clone{lab._number('clone', 1)}", "side": f"CLONE_SIDE_{side}",
        "clone_servers": [{"ip_address": {"addr": s.ip4, "type": "V4"}} for s in sensors], **more})
    return f"/api/trafficcloneprofile/{made['uuid']}"


def of(talks: list[Conversation], server: str) -> list[Conversation]:
    return [talk for talk in talks if talk.server == server]


def abort(sock):
    """RST rather than FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("place", ["own_link", "servers_switch"])
def test_clients_connections_are_copied_whole(lab, place):
    """Both families, several addresses, a range of ports, several clients, one that aborts; nobody else's packet."""
    ids = lab.sensor(on=lab.back if place == "servers_switch" else None)
    web, clients, engine = lab.server(), [lab.client() for _ in range(2)], lab.engine()
    clone = profile(lab, [ids], "CLIENT", preserve_client_ip=True)
    other = lab.virtual_service(pool=[web])
    vs = lab.virtual_service(pool=[web], v6=True, clone=clone, services=[
        {"port": 80}, {"port": 8000, "port_range_end": 8099}]).wait_servers_up(1)
    second = lab.front.address(140)[0]
    vip = lab.api.get(f"vsvip/{vs.vsvip_uuid}")
    vip["vip"].append({"vip_id": "2", "ip_address": {"addr": second, "type": "V4"}})
    lab.api.put(f"vsvip/{vs.vsvip_uuid}", vip)
    until(lambda: [v["oper_status"]["state"] for v in vs.runtime()["vip_summary"]] == ["OPER_UP"] * 2, "both are up")
    urls = [vs.url, vs.url6, f"http://{second}/", f"http://{vs.vip}:8000/", f"http://{vs.vip}:8042/",
            f"http://{vs.vip}:8099/", f"http://[{vs.vip6}]:8042/"]
    expected = 0
    for client in clients:
        for url in urls:
            assert client.fresh_get(url).ok
            expected += 1
        assert client.fresh_get(other.url).ok
    assert len(clients[0].get(vs.url + "files/1048576").content) == 1 << 20
    clients[0].session.close()
    gone = clients[1].connect(vs.vip, 80)
    gone.sendall(b"GET /files/1048576 HTTP/1.1\r\nHost: x\r\n\r\n")
    gone.recv(100)
    abort(gone)
    expected += 2
    books_closed(vs, ids)
    assert ids.illegal(engine.macs()) == []
    talks = ids.conversations()
    assert all(talk.complete and talk.ended for talk in talks)
    assert len(talks) == expected
    assert {talk.client for talk in talks} == {a for c in clients for a in (c.ip4, c.ip6)}
    assert {talk.server for talk in talks} == {vs.vip, vs.vip6, second}
    assert all(talk.sent.startswith(b"GET /") and talk.answered.startswith(b"HTTP/1.1 200") for talk in talks)
    assert max(len(talk.answered) for talk in talks) > 1 << 20


def test_both_sides_of_a_request_go_to_one_sensor(lab):
    sensors, web, client = [lab.sensor() for _ in range(3)], lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], http=False, clone=profile(lab, sensors, "BOTH", preserve_client_ip=True))
    vs.wait_servers_up(1)
    for _ in range(24):
        assert client.fresh_get(vs.url).ok
    books_closed(vs, *sensors)
    seen = 0
    for sensor in sensors:
        talks = sensor.conversations()
        assert all(talk.complete and talk.ended for talk in talks)
        ours, theirs = of(talks, vs.vip), of(talks, web.ip4)
        assert len(ours) == len(theirs) and len(ours) + len(theirs) == len(talks)
        # In the order of their SYNs, each with the request that it carried on.
        assert [t.sent for t in ours] == [t.sent for t in theirs]
        seen += len(ours)
    assert seen == 24
    assert sum(bool(sensor.count()) for sensor in sensors) >= 2, "flows are spread"


def test_connections_that_are_there_already_are_not_copied(lab):
    """Turned on, to another sensor, to the servers' side and off, with a connection that goes on through all of it."""
    sensors, web, client = [lab.sensor() for _ in range(2)], lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web]).wait_servers_up(1)

    def get(sock):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")

    def talk_of(sock, at):
        """Of its side of the clients, with what has come until now."""
        return next((t for t in sensors[at].conversations()
                     if (t.client_port, t.server) == (sock.getsockname()[1], vs.vip)), None)

    held = [client.connect(vs.vip, 80)]
    get(held[0])
    steps = [profile(lab, sensors[:1], "CLIENT"), profile(lab, sensors[1:], "CLIENT"), profile(lab, sensors[:1], "SERVER"), None]
    for n, clone in enumerate(steps):
        if clone:
            vs.patch(replace={"traffic_clone_profile_ref": clone})
        else:
            vs.patch(delete={"traffic_clone_profile_ref": steps[2]})

        def follows():
            """What begins now is copied as it is to be; what began before has got a word in between."""
            for sock in held:
                get(sock)
            held.append(client.connect(vs.vip, 80))
            get(held[-1])
            for sensor in sensors:
                sensor.settled()
            return [talk_of(held[-1], at) is not None for at in range(2)] == [n == 0, n == 1]
        until(follows, f"step {n}")
        sock = held[-1]
        talks = [t for sensor in sensors for t in sensor.conversations() if t.server == vs.vip]
        assert all(t.complete for t in talks), n
        if n == 2:
            # Connections to servers that were opened before are not used: whoever asks, the next request is copied from its SYN on.
            def copied():
                return sum(t.sent.count(b"GET /") for t in of(sensors[0].conversations(), web.ip4))
            for one in held:
                before = copied()
                get(one)
                until(lambda: copied() == before + 1, "this request is copied")
        if n < 2:
            get(sock)
            sensors[n].settled()
            assert talk_of(sock, n).sent.count(b"GET /") == 2
    for sock in held:
        sock.close()
    for sensor in sensors:
        sensor.settled()
    talks = [t for sensor in sensors for t in sensor.conversations()]
    assert all(t.complete for t in talks)


def test_a_flood_makes_no_flows_and_a_port_that_is_used_again_does(lab):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    vs = lab.virtual_service(pool=[web], http=False, v6=True, monitor=None, clone=profile(lab, [ids], "CLIENT"),
                             flight_recorder=False)

    def opened():
        return (engine.runtime().get("stats") or {}).get("flow_opened", 0)

    def get(port):
        """From this port, and the service closes first."""
        with client.entered():
            s = socket.socket()
        with s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.settimeout(5)
            s.bind((client.ip4, port))
            s.connect((vs.vip, 80))
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while s.recv(65536):
                pass
    get(40000)
    until(lambda: opened() == 1, "one flow")
    flood = [bytes(Ether(src=client.mac, dst=engine.front0.mac) / IP(src=client.ip4, dst=vs.vip) /
                   TCP(sport=port, dport=80, flags="S", seq=port)) for port in range(10000, 11000)]
    with client.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for frame in flood:
            raw.send(frame)
    for _ in range(3):
        get(40000)
    until(lambda: opened() >= 4, "three more flows")
    books_closed(vs, ids)
    assert opened() == 4
    talks = ids.conversations()
    mine = [t for t in talks if t.client_port == 40000]
    assert len(mine) == 4 and all(t.complete and t.ended and t.sent.startswith(b"GET /") for t in mine)
    # What is refused by its client's kernel is copied as well: SYN, answer, RST.
    refused = [t for t in talks if t.client_port != 40000]
    assert len(refused) > 500 and all(t.handshake and t.ended for t in refused)
    # Under a larger one the kernel keeps no table of handshakes, but tells by a cookie who had one.
    engine.sysctl("net.ipv4.tcp_syncookies", 2)
    for n in range(8):
        assert client.fresh_get(vs.url6 if n % 2 else vs.url).ok
    assert int(engine.run("nstat", "-az", "TcpExtSyncookiesRecv").stdout.split()[-2]) == 8
    books_closed(vs, ids)
    with_cookie = ids.conversations()[len(talks):]
    assert sorted(t.server for t in with_cookie) == [vs.vip] * 4 + [vs.vip6] * 4
    assert all(t.complete and t.ended and t.sent.startswith(b"GET /") for t in with_cookie)
    until(lambda: opened() == 12, "a flow each")


def test_a_service_of_one_routing_domain(lab):
    """The same address and port is another service's in the other domain, with the same clients and servers."""
    engine = lab.engine(workers=2)
    domains = [Domain(lab, engine, name) for name in ("blue", "red")]
    ids = lab.sensor(on=domains[0].switch)      # in the domain of the service
    join(lab, engine, *domains)
    clone = profile(lab, [ids], "BOTH", preserve_client_ip=True)
    services = [domains[0].service([domains[0].server.ip4], traffic_clone_profile_ref=clone),
                domains[1].service([domains[1].server.ip4])]
    wait_up(lab, *services)
    vip = domains[0].switch.address(100)[0]
    for domain in domains:
        for _ in range(2):
            assert domain.client.fresh_get(f"http://{vip}/").ok
        assert domain.client.fresh_get(f"http://{vip}/only-{domain.name}").status_code == 404
    blue = domains[0]

    def seen():
        return sorted((t.client, t.server) for t in ids.conversations() if t.ended and t.complete)
    until(lambda: len(seen()) >= 6, "both legs of three requests")
    ids.settled()
    assert seen() == sorted([(blue.client.ip4, vip), (blue.client.ip4, blue.server.ip4)] * 3)
    assert not [t for t in ids.conversations() if b"only-red" in t.sent] and ids.illegal({blue.leg.mac}) == []
