"""Routing domains: the same addresses twice on one engine, static routes, gateways that fall silent; IPv6 in all of it."""

import pytest

from lab import ApiError, until
from lab.client import Client
from lab.host import Host
from lab.server import Server
from lab.switch import Switch

NUMBER = 5        # of both domains' network: 198.18.5.0/24 and fd00:5:0:5::/64, twice


def ip(text):
    return {"addr": text, "type": "V6" if ":" in text else "V4"}


class Domain:
    """A VRF context with a network of its own: an engine's leg, a server, a client; all addresses as in the other one."""

    def __init__(self, lab, engine, name):
        self.lab, self.name = lab, name
        self.switch = lab._host(Switch(lab, name, NUMBER))
        self.leg = engine.attach(self.switch, f"{name}0", *self.switch.address(engine.number))
        self.server = lab._host(Server(lab, f"{name}-web", self.switch, 11))
        self.client = lab._host(Client(lab, f"{name}-client", self.switch, 51))
        self.vrf = lab.api.find("vrfcontext", "global") if name == "plain" else lab.api.post("vrfcontext", {"name": name})

    def service(self, servers, name="", number=100, services=({"port": 80},), **more):
        """At .100 of the domain's network, both families."""
        label = f"{self.name}{name}"
        vip = dict(zip(("ip_address", "ip6_address"), map(ip, self.switch.address(number))))
        vsvip = self.lab.api.post("vsvip", {"name": f"{label}-vip", "vrf_context_ref": self.vrf["url"],
                                            "vip": [{"vip_id": "1", **vip}]})
        pool = self.lab.api.post("pool", {
            "name": f"{label}-pool", "servers": [{"ip": ip(s), "port": 80} for s in servers], "vrf_ref": self.vrf["url"],
            "health_monitor_refs": [self.lab.health_monitor(kind, f"{label}-{kind}") for kind in ("http", "ping")]})
        return self.lab.api.post("virtualservice", {
            "name": label, "services": list(services), "vsvip_ref": vsvip["url"], "pool_ref": pool["url"], **more})


def join(lab, engine, *domains):
    """The engine's legs into their domains, as an operator does it."""
    def vnics():
        return {v["linux_name"]: v for v in lab.api.get(f"serviceengine/{engine.uuid}").get("data_vnics", [])}
    until(lambda: all(f"{d.name}0" in vnics() for d in domains), "the controller knows the interfaces")
    made = lab.api.get(f"serviceengine/{engine.uuid}")
    for vnic in made["data_vnics"]:
        for domain in domains:
            if vnic["linux_name"] == f"{domain.name}0":
                vnic["vrf_ref"] = domain.vrf["url"]
    lab.api.put(f"serviceengine/{engine.uuid}", made)


def runtime(lab, vs):
    return lab.api.get(f"virtualservice/{vs['uuid']}/runtime")


def wait_up(lab, *services):
    for vs in services:
        until(lambda: runtime(lab, vs)["oper_status"]["state"] == "OPER_UP", f"{vs['name']} is up", 15)


def ours(engine):
    """Rules and routes of ours, in all tables."""
    return [line for words in (("rule",), ("-6", "rule"), ("route", "show", "table", "all", "proto", "83"),
                               ("-6", "route", "show", "table", "all", "proto", "83"))
            for line in engine.ip(*words).splitlines() if "rule" not in words or "proto 83" in line]


def test_the_same_addresses_in_two_domains_and_routes_beyond(lab):
    engine = lab.engine(workers=2)
    blue, red = Domain(lab, engine, "blue"), Domain(lab, engine, "red")
    # Behind blue's router there is another network; red has none of that.
    far_net = lab._host(Switch(lab, "far", 6))
    router = lab._host(Host(lab, "router"))
    router.attach(blue.switch, "in", *blue.switch.address(1))
    router.attach(far_net, "out", *far_net.address(1))
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    far = lab._host(Server(lab, "far-web", far_net, 11))
    for family, via in zip(("-4", "-6"), far_net.address(1)):
        far.ip(family, "route", "add", "default", "via", via)
    join(lab, engine, blue, red)
    near4, near6 = blue.switch.address(11)
    services = [blue.service([near4]), red.service([near6])]
    wait_up(lab, *services)
    # The same VIP, the same server's address: each client gets its own domain's.
    vip4, vip6 = blue.switch.address(100)
    for domain in (blue, red):
        for url in (f"http://{vip4}/", f"http://[{vip6}]/"):
            assert domain.client.fresh_get(url).text == f"{domain.name}-web\n"
    # So do ranges of ports, and who is denied in one domain is not denied in the other.
    deny = lab.api.post("networksecuritypolicy", {"name": "deny", "rules": [
        {"index": 1, "name": "r", "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
         "match": {"client_ip": {"match_criteria": "IS_IN", "addrs": [ip(blue.client.ip4)]}}}]})
    wide = [{"port": 8000, "port_range_end": 8010}]
    ranges = [blue.service([near4], "-wide", 102, wide, network_security_policy_ref=deny["url"]),
              red.service([near6], "-wide", 102, wide)]
    wait_up(lab, *ranges)
    vip4, vip6 = blue.switch.address(102)
    for domain, urls in ((blue, (f"http://[{vip6}]:8007/",)), (red, (f"http://{vip4}:8007/", f"http://[{vip6}]:8007/"))):
        for url in urls:
            assert domain.client.fresh_get(url).text == f"{domain.name}-web\n"
    with pytest.raises(OSError):
        blue.client.connect(vip4, 8007, timeout=0.5).close()
    for vs in ranges:
        lab.api.delete(f"virtualservice/{vs['uuid']}")
    vip4, vip6 = blue.switch.address(100)
    # And a third time, in global: the main table has the others' network as well, and first.
    plain = Domain(lab, engine, "plain")
    services.append(plain.service([near4, near6]))
    wait_up(lab, services[2])
    for domain in (blue, red, plain):
        for url in (f"http://{vip4}/", f"http://[{vip6}]/"):
            assert domain.client.fresh_get(url).text == f"{domain.name}-web\n"
    # The same SNAT addresses in each.
    snat = blue.switch.address(200)
    for vs in services:
        lab.api.patch(f"virtualservice/{vs['uuid']}", replace={"snat_ip": [ip(snat[0])], "snat_ip6_addresses": [ip(snat[1])]})
    for domain, expected in ((blue, {snat[0]}), (red, {snat[1]}), (plain, set(snat))):
        def sees():
            return domain.client.fresh_get(f"http://{vip4}/") and {
                line.split()[0] for line in domain.server.requests()[-2:]} == expected
        until(sees, f"the server of {domain.name} sees it", 15)
    assert engine.ip("addr").count(f" {snat[0]}/32 ") == engine.ip("addr").count(f" {snat[1]}/128 ") == 3
    # Static routes: added, changed, deleted.
    vrf = f"vrfcontext/{blue.vrf['uuid']}"
    routes = [{"route_id": str(n), "prefix": {"ip_addr": ip(net), "mask": mask}, "next_hop": ip(via)}
              for n, (net, mask, via) in enumerate(zip(("198.18.6.0", "fd00:5:0:6::"), (24, 64), blue.switch.address(1)))]
    lab.api.patch(vrf, replace={"static_routes": routes})
    beyond = blue.service([far.ip4, far.ip6], name="-far", number=101)
    wait_up(lab, beyond)
    until(lambda: len([s for s in lab.api.get(f"pool/{beyond['pool_ref'].split('/')[-1].split('#')[0]}/runtime/server/")[
        "results"] if s["oper_status"]["state"] == "OPER_UP"]) == 2, "both families of the far server are up", 15)
    assert blue.client.fresh_get(f"http://{blue.switch.address(101)[0]}/").text == "far-web\n"
    table = next(line for line in ours(engine) if line.startswith("198.18.6.0/24"))
    assert "dev blue0" in table and "via 198.18.5.1" in table
    lonely = red.service([far.ip4], name="-far", number=101)
    until(lambda: "OPER_DOWN" in str(lab.api.get(f"pool/{lonely['pool_ref'].split('/')[-1].split('#')[0]}/runtime/server/")),
          "red has no way there, and no other table's", 15)
    assert "nreachable" in str(lab.api.get(f"pool/{lonely['pool_ref'].split('/')[-1].split('#')[0]}/runtime/server/"))
    routes[0]["prefix"]["ip_addr"]["addr"] = "198.18.7.0"
    lab.api.patch(vrf, replace={"static_routes": routes})
    until(lambda: any(line.startswith("198.18.7.0/24") for line in ours(engine)) and
          not any(line.startswith("198.18.6.0/24") for line in ours(engine)), "the route is another")
    # What others made is not touched, and what is ours is there again when its interface comes back.
    engine.ip("route", "add", "203.0.113.0/24", "dev", "blue0")
    engine.ip("link", "set", "blue0", "down")
    until(lambda: runtime(lab, services[0])["oper_status"]["state"] != "OPER_UP", "blue is down")
    engine.ip("link", "set", "blue0", "up")
    until(lambda: any(line.startswith("198.18.7.0/24") for line in ours(engine)), "the route is back")
    # The kernel took the leg's IPv6 address with the link: an administrator's.
    engine.ip("-6", "addr", "replace", f"{blue.switch.address(engine.number)[1]}/64", "dev", "blue0", "nodad")
    wait_up(lab, services[0])
    until(lambda: blue.client.fresh_get(f"http://{vip4}/").text == "blue-web\n", "blue answers again")
    # A gateway that every interface may have: the route says which one leads to it.
    routes[1]["next_hop"] = ip(next(line.split()[3].split("/")[0] for line in router.ip(
        "-6", "-o", "addr", "show", "dev", "in", "scope", "link").splitlines()))
    for name, by in (("blue0", {"blue0"}), ("elsewhere0", set())):
        routes[1]["if_name"] = name
        lab.api.patch(vrf, replace={"static_routes": routes})
        until(lambda: {line.split()[4] for line in ours(engine) if line.startswith("fd00:5:0:6::/64 via fe80")} == by,
              f"the route goes by {name}")
    lab.api.patch(vrf, replace={"static_routes": []})
    until(lambda: not any(line.startswith("198.18.7.0/24") for line in ours(engine)), "the route is gone")
    # A warden that died leaves its rules; the next one sweeps them, and at a clean end nothing is left.
    before = sorted(ours(engine))
    engine.kill()
    engine.begin()
    engine.wait_connected()
    wait_up(lab, *services)
    assert sorted(ours(engine)) == before
    assert red.client.fresh_get(f"http://{vip4}/").text == "red-web\n"
    engine.stop()
    assert ours(engine) == []
    assert "203.0.113.0/24" not in ours(engine)


def test_what_makes_no_sense_is_refused(lab):
    api = lab.api
    blue, red = (api.post("vrfcontext", {"name": name}) for name in ("blue", "red"))
    vsvip = api.post("vsvip", {"name": "v", "vrf_context_ref": blue["url"], "vip": [
        {"vip_id": "1", "ip_address": ip("10.1.1.1")}]})

    def refused(kind, body, words):
        with pytest.raises(ApiError) as refusal:
            api.post(kind, body)
        assert refusal.value.status == 400 and words in refusal.value.text, refusal.value.text
    service = {"name": "s", "services": [{"port": 80}], "vsvip_ref": vsvip["url"]}
    refused("virtualservice", {**service, "vrf_context_ref": red["url"]}, "vrf_context_ref: VsVip 'v' is in another VRF")
    other = api.post("pool", {"name": "red", "vrf_ref": red["url"]})
    refused("virtualservice", {**service, "pool_ref": other["url"]}, "pool_ref: Pool 'red' is in another VRF")
    shared = api.post("pool", {"name": "shared"})
    made = api.post("virtualservice", {**service, "pool_ref": shared["url"]})
    assert blue["uuid"] in made["vrf_context_ref"]        # that of its addresses
    refused("virtualservice", {"name": "t", "services": [{"port": 80}], "vip": [{"ip_address": ip("10.1.1.2")}],
                               "pool_ref": shared["url"]}, "serves virtual service 's', which is in another VRF")
    # Also of those that stand in, and of members of a group, whoever is changed.
    backup = {"type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": other["url"]}}

    def change_refused(kind, made, words, **change):
        with pytest.raises(ApiError) as refusal:
            api.patch(f"{kind}/{made['uuid']}", replace=change)
        assert refusal.value.status == 400 and words in refusal.value.text, refusal.value.text
    change_refused("pool", shared, "fail_action.backup_pool.backup_pool_ref: Pool 'red' is in another VRF than virtual service 's'",
                   fail_action=backup)
    change_refused("pool", shared, "vrf_ref: Virtual service 's', which it serves, is in another VRF", vrf_ref=red["url"])
    sad = api.post("pool", {"name": "sad", "fail_action": backup})
    change_refused("virtualservice", made, "pool_ref: Pool 'red' is in another VRF", pool_ref=sad["url"])
    group = api.post("poolgroup", {"name": "g", "members": [{"pool_ref": other["url"]}]})
    api.patch(f"virtualservice/{made['uuid']}", delete={"pool_ref": ""})
    change_refused("virtualservice", made, "pool_group_ref: Pool 'red' is in another VRF", pool_group_ref=group["url"])
    api.patch(f"poolgroup/{group['uuid']}", replace={"members": []})
    api.patch(f"virtualservice/{made['uuid']}", add={"pool_group_ref": group["url"]})
    change_refused("poolgroup", group, "members: Pool 'red' is in another VRF than virtual service 's'",
                   members=[{"pool_ref": other["url"]}])


def test_a_gateway_that_falls_silent_is_told_and_services_leave(lab):
    router, web, client = lab._host(Host(lab, "router")), lab.server(), lab.client()
    addresses = lab.front.address(1)
    router.attach(lab.front, "eth0", *addresses)
    one, two = lab.engine(), lab.engine()
    vrf = lab.api.find("vrfcontext", "global")
    lab.api.patch(f"vrfcontext/{vrf['uuid']}", replace={"gateway_mon": [
        {"gateway_ip": ip(a), "gateway_monitor_interval": 100, "gateway_monitor_fail_threshold": 3,
         "gateway_monitor_success_threshold": 3} for a in addresses]})
    vs = lab.virtual_service(pool=[web])
    assert vs.owner() is one

    def gateways(engine):
        return {g["ip"]: g["up"] for g in engine.runtime()["gateways"]}
    # Also an engine that carries nothing asks.
    until(lambda: gateways(one) == gateways(two) == {a: True for a in addresses}, "both engines watch both gateways")
    # The router's answers to one engine get lost.
    router.ip("route", "add", "blackhole", f"{one.front0.ip}/32")
    until(lambda: gateways(one) == {addresses[0]: False, addresses[1]: True}, "IPv4 is silent")
    assert one.runtime()["gateway_up"] is False and two.runtime()["gateway_up"] is True

    def told(event_id):
        found = lab.api.get("analytics/logs", type=2, page_size=200)["results"]
        return [e for e in found if e["event_id"] == event_id]
    assert addresses[0] in told("SE_GATEWAY_HEARTBEAT_FAILED")[0]["event_description"]
    assert vs.owner() is one                                     # the group does not say that it should go
    group = lab.api.find("serviceenginegroup", "Default-Group")
    lab.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"host_gateway_monitor": True})
    until(lambda: vs.owner() is two and vs.state() == "OPER_UP", "it left for the other engine")
    until(lambda: client.fresh_get(vs.url).text == "web1\n", "it answers")
    router.ip("route", "del", "blackhole", f"{one.front0.ip}/32")
    until(lambda: one.runtime()["gateway_up"], "it answers again")
    assert told("SE_GATEWAY_HEARTBEAT_SUCCESS") and vs.owner() is two
    lab.api.patch(f"vrfcontext/{vrf['uuid']}", replace={"gateway_mon": []})
    until(lambda: gateways(one) == gateways(two) == {}, "nobody asks any more")
