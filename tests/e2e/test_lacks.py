"""What its machine does not give an engine: who wants it waits, it is said what to raise, and when it is over."""

import os
import time

from lab.host import until


LIMIT = 256


def warning(vs, name):
    """What `why` says of a link of the chain that is not as it should be."""
    chain = vs.lab.api.get(f"virtualservice/{vs.uuid}/why")["chain"]
    return next((link["text"] for link in chain if link["link"] == name and link["state"] == "warning"), "")


def told(lab, event_id):
    found = lab.api.get(f"analytics/logs?type=2&page_size=100&filter=eq(event_id,{event_id})")["results"]
    return [event["event_description"] for event in found]


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_without_descriptors_or_ports(lab):
    web, client = lab.server(), lab.client()
    engine = lab.engine(before=["setpriv", "--bounding-set=-sys_resource", "prlimit", f"--nofile={LIMIT}:{LIMIT}"])
    vs = lab.virtual_service(pool=[web], name="shop", http=False).wait_servers_up(1)
    proxy = until(lambda: engine.proxy, "the engine has a proxy")
    waiting = [client.connect(vs.vip, 80) for _ in range(LIMIT // 2)]
    for s in waiting:
        s.sendall(b"GET / HTTP/1.0\r\n")
    until(lambda: "lacks descriptors" in warning(vs, "listener"), "it is said")
    assert "raise LimitNOFILE of spanwire-engine.service" in warning(vs, "listener")
    assert len(told(lab, "SE_RESOURCES_EXHAUSTED")) == 1 and not told(lab, "SE_RESOURCES_AVAILABLE")
    # Who waits costs nothing, and takes nothing of what the engine needs itself: it can still be told of another service.
    began, had = time.monotonic(), cpu_s(proxy)
    other = lab.virtual_service(pool=[web], name="other", http=False).wait_servers_up(1)
    assert cpu_s(proxy) - had < 0.3 * max(time.monotonic() - began, 1)
    assert engine.proxy == proxy and descriptors(proxy) < LIMIT
    assert vs.server_state(web)["state"] == "OPER_UP"
    for s in waiting:
        s.sendall(b"\r\n")
    for s in waiting:
        s.settimeout(60)
        assert s.recv(1000).endswith(b"web1\n"), "nobody was refused"
        s.close()
    assert client.curl(other.url) == "web1\n"
    # As many connections to the server as there are ports.
    was = engine.run("sysctl", "-n", "net.ipv4.ip_local_port_range").stdout
    engine.sysctl("net.ipv4.ip_local_port_range", "40000 40001")
    held = []
    for _ in range(4):
        try:
            held.append(client.connect(vs.vip, 80))
        except ConnectionResetError:
            pass    # as soon as it stood: there was no port for it
    until(lambda: f"(to {web.ip4}:80 on engine1)" in warning(vs, "source"), "it is said")
    text = told(lab, "SERVER_PORTS_EXHAUSTED")
    assert len(text) == 1 and f"server {web.ip4}:80 of pool shop-pool" in text[0] and "ip_local_port_range" in text[0]
    assert vs.pool_runtime()[0]["stats"]["conn_no_port"] > 0
    for s in held:
        s.close()
    engine.sysctl("net.ipv4.ip_local_port_range", was.strip())
    # More sockets than it may have: that service goes without until it can have them.
    many = lab.virtual_service(pool=[web], name="many", http=False, monitor=None, wait=False,
                               network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"),
                               services=[{"port": 20000, "port_range_end": 20000 + LIMIT}])
    until(lambda: "Too many open files" in many.reason(), "it is said of the service")
    until(lambda: told(lab, "SE_RESOURCES_EXHAUSTED")[1:] or warning(vs, "listener"), "and of the engine")
    assert client.curl(other.url) == "web1\n"
    many.patch(replace={"services": [{"port": 20000}]})
    many.wait_up()
    until(lambda: told(lab, "SE_RESOURCES_AVAILABLE") and told(lab, "SERVER_PORTS_AVAILABLE"), "both are over, and it is said")
    assert not warning(vs, "listener") and not warning(vs, "source")
    assert engine.proxy == proxy
