"""Who may come in: network security policies, and the limits of a virtual service."""

import contextlib
import socket
import time

import pytest

from lab.host import until
from test_udp import Asker, Echo

RULE = "NETWORK_SECURITY_POLICY_ACTION_TYPE_"


def addr(ip: str) -> dict:
    return {"addr": ip, "type": "V6" if ":" in ip else "V4"}


def prefix(ip: str, mask: int) -> dict:
    return {"ip_addr": addr(ip), "mask": mask}


def rule(index: int, action: str, enable: bool = True, **match) -> dict:
    more = {"rl_param": match.pop("rl_param")} if "rl_param" in match else {}
    return {"name": f"rule {index}", "index": index, "enable": enable, "action": RULE + action, "match": match, **more}


def is_in(**what) -> dict:
    return {"match_criteria": "IS_IN", **what}


def is_not_in(**what) -> dict:
    return {"match_criteria": "IS_NOT_IN", **what}


def enters(client, ip: str, port: int = 80, source: int = 0, seconds: float = 15) -> bool:
    """Is a request answered? (A connection that is turned away may look open for a moment.)"""
    with client.entered():
        with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)) as peer:
            peer.settimeout(seconds)
            if source:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                peer.bind(("::" if ":" in ip else "", source))
            try:
                peer.connect((ip, port))
                peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return peer.recv(64).startswith(b"HTTP/1")
            except OSError:
                return False


def counter(lab, vs, name: str) -> int:
    return lab.api.get(f"virtualservice/{vs.uuid}/runtime/detail")[0]["stats"].get(name, 0)


def by_rule(lab, vs) -> dict[str, dict]:
    """What each rule of the policy counted."""
    found = lab.api.get(f"virtualservice/{vs.uuid}/networksecuritypolicystats")
    return {row["rule"]: row["statistics"] for row in found[0]["statistics"]} if found else {}


@pytest.mark.parametrize("workers", [1, 3])
def test_policies(lab, workers):
    """One service on two ports, two clients, and one rule after the other."""
    web, one, two = lab.server(), lab.client(), lab.client()
    lab.engine(workers=workers)
    policy = lab.api.post("networksecuritypolicy", {"name": "guard", "rules": []})["uuid"]
    group = lab.api.post("ipaddrgroup", {"name": "friends", "addrs": [addr(one.ip4), addr(one.ip6)]})["uuid"]
    groups = [f"/api/ipaddrgroup/{group}"]
    vs = lab.virtual_service(pool=[web], http=False, v6=True, monitor=None,
                             services=[{"port": 80}, {"port": 81}],
                             network_security_policy_ref=f"/api/networksecuritypolicy/{policy}")

    def rules(*them) -> None:
        lab.api.patch(f"networksecuritypolicy/{policy}", replace={"rules": list(them)})
        until(vs.in_force, "the change is in force")

    def see(who: list[bool], port: int = 80) -> None:
        """Once a change is in force. Who is denied in the kernel hears nothing: there is no need to wait long for that."""
        until(vs.in_force, "the change is in force")
        assert [[enters(client, ip, port, seconds=15 if may else 1) for client, may in zip((one, two), who)]
                for ip in (vs.vip, vs.vip6)] == [who, who]

    see([True, True])                                                    # no rule
    rules(rule(1, "DENY", client_ip=is_in(addrs=[addr(one.ip4), addr(one.ip6)])))
    see([False, True])
    rules(rule(1, "DENY", client_ip=is_in(group_refs=groups)))
    see([False, True])
    rules(rule(1, "DENY", client_ip=is_not_in(group_refs=groups)))
    see([True, False])
    # The group alone changes: networks, ranges. It has its effect at once.
    lab.api.patch(f"ipaddrgroup/{group}", replace={"addrs": [], "prefixes": [prefix(two.ip4, 32), prefix(two.ip6, 128)]})
    see([False, True])
    lab.api.patch(f"ipaddrgroup/{group}", replace={"prefixes": [], "ranges": [
        {"begin": addr(one.ip4), "end": addr(two.ip4)}, {"begin": addr(one.ip6), "end": addr(two.ip6)}]})
    see([True, True])
    # The first that matches by its index decides, whatever the order of the list; what is off does not count.
    rules(rule(20, "DENY"), rule(10, "ALLOW", client_ip=is_in(prefixes=[prefix(two.ip4, 32), prefix(two.ip6, 128)])))
    see([False, True])
    rules(rule(20, "DENY"), rule(10, "ALLOW", client_ip=is_in(ranges=[
        {"begin": addr(one.ip4), "end": addr(one.ip4)}, {"begin": addr(one.ip6), "end": addr(one.ip6)}])))
    see([True, False])
    rules(rule(20, "DENY", enable=False))
    see([True, True])
    # Ports.
    rules(rule(1, "DENY", vs_port=is_in(ports=[81])))
    see([False, False], 81)
    see([True, True], 80)
    rules(rule(1, "DENY", vs_port=is_not_in(ports=[81])))
    see([False, False], 80)
    rules(rule(1, "DENY", client_port=is_in(ports=[7777], ranges=[{"start": 9000, "end": 9010}])))
    assert [enters(one, vs.vip, source=port) for port in (7776, 7777, 8999, 9000, 9010)] == [True, False, True, False, False]
    rules(rule(1, "DENY", client_port=is_not_in(ranges=[{"start": 9011, "end": 9020}])))
    assert not enters(one, vs.vip) and enters(one, vs.vip, source=9015)
    # A rate: the burst comes in, and not much more.
    rules(rule(1, "RATE_LIMIT", client_ip=is_in(addrs=[addr(one.ip4)]), rl_param={"max_rate": 1, "burst_size": 5}))
    began = time.monotonic()
    inside = sum(enters(one, vs.vip) for _ in range(30))
    assert 1 <= inside <= 5 + int(time.monotonic() - began) + 1, inside
    assert enters(two, vs.vip)

    # What each rule did is told.
    def told() -> bool:
        stats = by_rule(lab, vs).get("rule 1", {})
        return stats.get("matched", 0) >= 30 and stats["matched"] - stats["refused"] >= inside
    until(told, "the rule's counters")
    assert counter(lab, vs, "conn_refused_policy") > 30


def silent(client, ip: str, port: int = 80) -> bool:
    """Is nothing answered at all, not even with a refusal?"""
    try:
        client.connect(ip, port, timeout=0.3).close()
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_who_is_denied_by_address_hears_nothing(lab):
    """In the kernel: no handshake, no reset; thousands of networks; counted, also through changes."""
    web, one, two = lab.server(), lab.client(), lab.client()
    lab.engine()
    policy = lab.api.post("networksecuritypolicy", {"name": "guard", "rules": []})["uuid"]
    many = [prefix(f"10.{n >> 8}.{n & 255}.0", 25) for n in range(5000)]
    group = lab.api.post("ipaddrgroup", {"name": "bad", "prefixes": many})["uuid"]
    vs = lab.virtual_service(pool=[web], http=False, v6=True, monitor=None,
                             services=[{"port": 80}, {"port": 1000, "port_range_end": 1009}],
                             network_security_policy_ref=f"/api/networksecuritypolicy/{policy}")

    def rules(*them) -> None:
        lab.api.patch(f"networksecuritypolicy/{policy}", replace={"rules": list(them)})

    until(lambda: enters(one, vs.vip), "the service answers")
    rules(rule(1, "ALLOW", client_ip=is_in(addrs=[addr(two.ip4)])),
          rule(2, "DENY", client_ip=is_in(group_refs=[f"/api/ipaddrgroup/{group}"])))
    lab.api.patch(f"ipaddrgroup/{group}", replace={"prefixes": many + [prefix(one.ip4, 24), prefix(one.ip6, 128)]})
    # On a busy machine the lease may lapse while thousands of networks are entered: then nobody hears anything, uncounted.
    until(lambda: silent(one, vs.vip) and counter(lab, vs, "conn_refused_policy"), "the denied hears nothing")
    until(lambda: enters(two, vs.vip) and enters(two, vs.vip6) and enters(two, vs.vip, 1005), "another one is let in")
    assert silent(one, vs.vip6) and silent(one, vs.vip, 1005)
    until(lambda: silent(one, vs.vip) and counter(lab, vs, "conn_refused_policy") >= 3, "they are counted")
    found = until(lambda: by_rule(lab, vs)["rule 1"]["matched"] >= 2 and by_rule(lab, vs), "those who were let in")
    assert found["rule 2"]["refused"] >= 3 and found["rule 1"]["refused"] == 0
    # What asks for a port as well is the proxy's: a reset. What is left of the policy is open.
    rules(rule(3, "DENY", vs_port=is_in(ports=[80]), client_ip=is_in(addrs=[addr(one.ip4)])))
    until(lambda: not silent(one, vs.vip), "no longer in the kernel")
    until(lambda: enters(one, vs.vip, 1005), "nor in the proxy, which may hear of it later")
    assert not enters(one, vs.vip) and enters(one, vs.vip6)
    assert counter(lab, vs, "conn_refused_policy") >= 3
    rules(rule(4, "DENY", client_ip=is_not_in(addrs=[addr(two.ip4)])))
    until(lambda: silent(one, vs.vip) and silent(two, vs.vip6), "all others hear nothing")
    assert enters(two, vs.vip)
    vs.patch(delete={"network_security_policy_ref": f"/api/networksecuritypolicy/{policy}"})
    until(lambda: enters(one, vs.vip) and enters(two, vs.vip6), "everybody may come in")


def test_a_policy_guards_datagrams(lab):
    """A flow that a new rule does not let be ends; others go on."""
    host, one, two = lab.server(), lab.client(), lab.client()
    Echo(host)
    lab.engine()
    policy = lab.api.post("networksecuritypolicy", {"name": "guard", "rules": []})["uuid"]
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 5000}], http=False, port=5000, monitor=None,
        network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"),
        network_security_policy_ref=f"/api/networksecuritypolicy/{policy}")
    askers = [Asker(client, vs.vip, 5000) for client in (one, two)]
    port = [until(asker.tries, "an answer comes")[1] for asker in askers]
    lab.api.patch(f"networksecuritypolicy/{policy}", replace={"rules": [
        rule(1, "DENY", client_ip=is_in(prefixes=[prefix(one.ip4, 32)]))]})
    until(vs.in_force, "the change is in force")
    assert askers[0].ask(seconds=1) is None, "the first is silenced"
    assert askers[1].ask()[1] == port[1], "the other's flow goes on"


@pytest.mark.parametrize("workers", [1, 3])
def test_limits(lab, workers):
    web, one, two = lab.server(), lab.client(), lab.client()
    lab.engine(workers=workers)
    vs = lab.virtual_service(pool=[web], http=False, monitor=None)
    until(lambda: enters(one, vs.vip), "the service answers")

    def limit(**fields) -> None:
        """These limits and no others, in force."""
        body = lab.api.get(f"virtualservice/{vs.uuid}")
        for name in ("performance_limits", "connections_rate_limit", "max_cps_per_client", "limit_doser"):
            body.pop(name, None)
        lab.api.put(f"virtualservice/{vs.uuid}", {**body, **fields})
        until(vs.in_force, "the change is in force")

    # So many at a time; one that leaves makes room.
    limit(performance_limits={"max_concurrent_connections": 3})
    inside = []
    for _ in range(3):
        inside.append(one.connect(vs.vip, 80))
        inside[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert inside[-1].recv(64)
    assert not enters(two, vs.vip)
    inside.pop().close()
    until(lambda: enters(two, vs.vip), "there is room again")
    for peer in inside:
        peer.close()

    # So many in a time, by reset, by an orderly end, or only counted.
    def rate(action: str, count: int = 5) -> dict:
        return {"rate_limiter": {"count": count, "period": 1000}, "action": {"type": f"RL_ACTION_{action}"}}

    limit(connections_rate_limit=rate("NONE", 1))
    before = counter(lab, vs, "conn_over_rate")
    # How many come in a second is the machine's business: as many as it takes.
    until(lambda: enters(one, vs.vip) and counter(lab, vs, "conn_over_rate") >= before + 3, "they are counted")
    limit(connections_rate_limit=rate("RESET_CONN"))
    began = time.monotonic()
    inside = sum(enters(one, vs.vip) for _ in range(12))
    assert inside <= 5 + 5 * (time.monotonic() - began), inside

    def second():
        """What the second of two gets; nothing, where they were a second apart."""
        enters(one, vs.vip)
        try:
            with one.connect(vs.vip, 80, timeout=0.5) as peer:
                return peer.recv(1)
        except OSError as error:
            return type(error)

    for action, what in (("RESET_CONN", ConnectionResetError), ("DROP_CONN", ConnectionResetError), ("CLOSE_CONN", b"")):
        limit(connections_rate_limit=rate(action, 1))
        until(lambda: second() == what, f"{action}: who comes too often gets {what}")

    # So many of one client in a second; and who goes on is let in ever less.
    limit(max_cps_per_client=10)
    began, n, tries = time.monotonic(), 0, 0
    while time.monotonic() - began < 1.5 or tries < 30:
        n, tries = n + enters(one, vs.vip), tries + 1
    assert 10 <= n <= 10 + 10 * (time.monotonic() - began) + 2, n
    assert enters(two, vs.vip)
    limit(max_cps_per_client=10, limit_doser=True)
    began = time.monotonic()
    while time.monotonic() - began < 2:
        with contextlib.suppress(OSError):
            one.connect(vs.vip, 80).close()
    assert not any(enters(one, vs.vip) for _ in range(3)), "he pays for each attempt"
    assert enters(two, vs.vip)
    until(lambda: counter(lab, vs, "conn_refused_client_rate") > 0 and counter(lab, vs, "conn_refused_limit") > 0,
          "all is counted")


def test_limits_of_requests_and_the_end_at_a_change(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], requests_rate_limit={
        "rate_limiter": {"count": 2, "period": 1000, "burst_sz": 7},
        "action": {"type": "RL_ACTION_LOCAL_RSP", "status_code": "HTTP_LOCAL_RESPONSE_STATUS_CODE_429"}})
    until(lambda: (a := client.get(vs.url)).status_code == 429 and "close" not in a.headers.get("Connection", ""),
          "too many", every=0)
    vs.patch(replace={"requests_rate_limit": {"rate_limiter": {"count": 2, "period": 1000}, "action": {
        "type": "RL_ACTION_LOCAL_RSP", "status_code": "HTTP_LOCAL_RESPONSE_STATUS_CODE_204"}}})
    until(lambda: client.get(vs.url).status_code == 204, "another status", every=0)
    vs.patch(replace={"requests_rate_limit": {"rate_limiter": {"count": 2, "period": 1000}, "action": {
        "type": "RL_ACTION_CLOSE_CONN"}}})
    until(lambda: client.get(vs.url).headers.get("Connection") == "close", "the connection ends", every=0)
    vs.patch(replace={"requests_rate_limit": {"rate_limiter": {"count": 2, "period": 1000}, "action": {
        "type": "RL_ACTION_NONE"}}})
    until(vs.in_force, "the change is in force")
    assert all(client.get(vs.url).ok for _ in range(9)), "only counted"
    until(lambda: client.get(vs.url).ok and counter(lab, vs, "http_over_rate") > counter(lab, vs, "http_refused_rate") > 0,
          "counted", every=0)

    # A change ends connections only where the service says so.
    def open_one() -> socket.socket:
        peer = client.connect(vs.vip, 80)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(4096)
        return peer

    peer = open_one()
    vs.patch(replace={"description": "first"})
    until(vs.in_force, "the change is in force")
    peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert peer.recv(4096).startswith(b"HTTP/1.1 200")
    vs.patch(replace={"close_client_conn_on_config_update": True})
    with contextlib.suppress(OSError):
        while peer.recv(4096):
            pass
    peer = open_one()
    vs.patch(replace={"description": "second"})
    peer.settimeout(30)
    with contextlib.suppress(ConnectionResetError):
        assert peer.recv(4096) == b""
    until(lambda: counter(lab, vs, "conn_cut_config") >= 1, "counted")
