"""The ports of a virtual service: each with profiles of its own, and when they are closed."""

import contextlib
import socket
import threading

import pytest

from lab.host import until
from test_udp import Asker, Echo


def refused(client, ip: str, port: int) -> bool:
    """Is there no listener? (Not: a listener that turns away.)"""
    try:
        client.connect(ip, port, timeout=15).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:    # it closed before it had taken us
        return False
    return False


def test_ports_have_profiles_of_their_own(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    fast = lab.api.post("networkprofile", {"name": "fast", "profile": {
        "type": "PROTOCOL_TYPE_TCP_FAST_PATH", "tcp_fast_path_profile": {"session_idle_timeout": 5}}})["uuid"]
    l4 = lab.ref("applicationprofile", "System-L4-Application")
    vs = lab.virtual_service(pool=[web], monitor=None, services=[
        {"port": 80},
        {"port": 81, "override_application_profile_ref": l4},
        {"port": 82, "override_application_profile_ref": l4, "override_network_profile_ref": f"/api/networkprofile/{fast}"}])
    idle = client.connect(vs.vip, 82, timeout=30)
    for port in (80, 81, 82):
        assert client.fresh_get(f"http://{vs.vip}:{port}/?{port}").ok
    seen = "\n".join(until(lambda: len(web.requests("/?82")) == 1 and
                           web.requests("/?80") + web.requests("/?81"), "nginx wrote its log"))
    assert f'"GET /?80 HTTP/1.1" 200 "{client.ip4}"' in seen, "HTTP tells who asks"
    assert '"GET /?81 HTTP/1.1" 200 "-"' in seen, "bytes are bytes"

    # Placed, but nobody is let in; and back.
    vs.patch(replace={"traffic_enabled": False})
    until(lambda: refused(client, vs.vip, 80) and refused(client, vs.vip, 81), "the ports are closed")
    with pytest.raises(ConnectionResetError):
        idle.recv(1)
    assert client.run("ping", "-c", 1, "-W", 2, vs.vip).returncode == 0
    vs.patch(replace={"traffic_enabled": True})
    until(lambda: not refused(client, vs.vip, 80) and not refused(client, vs.vip, 82), "the ports are open")
    idle = client.connect(vs.vip, 82, timeout=30)
    with pytest.raises(ConnectionResetError):
        idle.recv(1)                # the fast path's idle time


class Teller:
    """A server that says to whoever connects which port he came to."""

    def __init__(self, host, *ports: int):
        with host.entered():
            for port in ports:
                listening = socket.create_server(("", port), backlog=16)
                threading.Thread(target=self.serve, args=(listening,), daemon=True).start()

    @staticmethod
    def serve(listening: socket.socket) -> None:
        while True:
            peer, _ = listening.accept()
            with peer, contextlib.suppress(OSError):    # who only looked is gone
                peer.sendall(str(listening.getsockname()[1]).encode())


@pytest.mark.parametrize("workers", [1, 3])
def test_a_range_of_ports(lab, workers):
    """Fifty thousand TCP ports and a few of UDP, to the same port of the server; with a handful of sockets."""
    host, client = lab.server(), lab.client()
    Teller(host, 81, 1000, 31337, 60000)
    for port in (2000, 2009):
        Echo(host, port)
    engine = lab.engine(workers=workers)
    udp = lab.ref("networkprofile", "System-UDP-Fast-Path")
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}}], http=False, v6=True, monitor=None,
        pool_more={"use_service_port": True},
        services=[{"port": 1000, "port_range_end": 60000},
                  {"port": 2000, "port_range_end": 2009, "override_network_profile_ref": udp}])

    def said(ip: str, port: int) -> str:
        with client.connect(ip, port, timeout=30) as peer:
            return peer.recv(16).decode()

    for port in (1000, 31337, 60000):
        for ip in (vs.vip, vs.vip6):
            assert said(ip, port) == str(port)
    assert {said(vs.vip, 31337) for _ in range(20)} == {"31337"}
    for port in (999, 60001):
        assert refused(client, vs.vip, port) and refused(client, vs.vip6, port)
    for port in (2000, 2009):
        for ip in (vs.vip, vs.vip6):
            assert until(Asker(client, ip, port).tries, "an answer comes")
    listening = engine.run("ss", "-Hltn").stdout.splitlines()
    assert len(listening) <= 2 * workers + 2, listening

    # What leaves the range is closed, and what comes to it is open.
    vs.patch(replace={"services": [{"port": 1000, "port_range_end": 31336}, {"port": 81}]})
    until(lambda: refused(client, vs.vip, 31337), "the port is closed")
    until(lambda: not refused(client, vs.vip, 81), "it is open")
    assert said(vs.vip, 81) == "81" and said(vs.vip, 1000) == "1000"
    engine.kill_proxy()
    assert said(vs.vip, 1000) == "1000", "who comes meanwhile waits"


def test_clients_of_a_service_that_is_deleted_are_told(lab):
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    vs = lab.virtual_service(pool=[web], http=False, v6=True, monitor=None)
    peers = [until(lambda ip=ip: client.connect(ip, 80), "the service answers") for ip in (vs.vip, vs.vip6)]
    for peer in peers:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(4096)
        peer.settimeout(30)
    lab.api.delete(f"virtualservice/{vs.uuid}")
    for peer in peers:
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
    until(lambda: vs.vip not in engine.ip("addr", "show"), "the address is gone")


def test_a_port_is_closed_while_too_few_pools_are_up(lab):
    web, spare, client = lab.server(), lab.server(), lab.client()
    lab.engine()
    backup = lab.api.post("pool", {"name": "spare", "servers": lab.pool_body([spare]),
                                   "health_monitor_refs": [lab.health_monitor()]})
    vs = lab.virtual_service(pool=[web], min_pools_up=2, wait=False, pool_more={"fail_action": {
        "type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": backup["url"]}}}).wait_servers_up(1)
    vs.wait_up()
    spare.fall_sick()
    until(lambda: vs.state() == "OPER_DOWN", "one pool of two is up")
    assert vs.reason() == "1 of its pools has servers up, and it needs 2."
    assert client.fresh_get(vs.url).ok      # it counts as down, and answers
    vs.patch(replace={"remove_listening_port_on_vs_down": True})
    until(lambda: refused(client, vs.vip, 80), "the port is closed")
    vs.patch(replace={"min_pools_up": 1})
    until(lambda: not refused(client, vs.vip, 80) and vs.state() == "OPER_UP", "one is enough")


def test_a_port_is_closed_while_all_servers_are_down(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], remove_listening_port_on_vs_down=True).wait_servers_up(1)
    assert client.fresh_get(vs.url).ok
    web.fall_sick()
    until(lambda: refused(client, vs.vip, 80), "the port is closed")
    web.recover()
    until(lambda: not refused(client, vs.vip, 80), "the port is open")
    assert client.fresh_get(vs.url).ok
    # Where the service does not say so, it stays open.
    vs.patch(replace={"remove_listening_port_on_vs_down": False})
    web.fall_sick()
    vs.wait_servers_up(0)
    assert not refused(client, vs.vip, 80)
