"""The ports of a virtual service: each with profiles of its own, and when they are closed."""

import pytest

from lab.host import until


def refused(client, ip: str, port: int) -> bool:
    """Is there no listener? (Not: a listener that turns away.)"""
    try:
        client.connect(ip, port, timeout=2).close()
    except ConnectionRefusedError:
        return True
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
    idle = client.connect(vs.vip, 82, timeout=9)
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
    until(lambda: not refused(client, vs.vip, 80), "the ports are open")
    idle = client.connect(vs.vip, 82, timeout=9)
    with pytest.raises(ConnectionResetError):
        idle.recv(1)                # the fast path's idle time
