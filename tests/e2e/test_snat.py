"""Addresses of their own towards servers (snat_ip): what servers see, who answers for them, and when they move."""

import pytest
from contract import error
from test_capture import Capture, requests_in, tshark
from test_udp import Asker, Echo, profile

from lab import until
from lab.client import Client

def ip(text):
    return {"addr": text, "type": "V6" if ":" in text else "V4"}


def seen(server, path="/"):
    """Whom the server saw, of all requests for this path."""
    return [line.split()[0] for line in server.requests(path)]


def wait_seen(server, *last, path="/"):
    """These were the last; nginx writes its log behind its answer."""
    until(lambda: seen(server, path)[-len(last):] == list(last), f"{server.name} saw {', '.join(last)}")


def has(engine, address, interface="back0"):
    return f" {address}/" in engine.ip("addr", "show", "dev", interface)


def row(vs):
    return vs.runtime()["vip_summary"][0]["service_engine"][0]


def source(lab, vs):
    return next((link for link in lab.api.get(f"virtualservice/{vs.uuid}/why")["chain"] if link["link"] == "source"), None)


def also(lab, vs, name, port, **more):
    """Another service at the addresses of VS, with its pool."""
    return lab.api.post("virtualservice", {
        "name": name, "services": [{"port": port}], "vsvip_ref": f"/api/vsvip/{vs.vsvip_uuid}",
        "pool_ref": f"/api/pool/{vs.pool_uuid}",
        "application_profile_ref": lab.ref("applicationprofile", "System-L4-Application"), **more})


def wait_up(lab, made):
    until(lambda: lab.api.get(f"virtualservice/{made['uuid']}/runtime")["oper_status"]["state"] == "OPER_UP",
          f"{made['name']} is up")


def read_answer(s):
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got.split(b"\r\n\r\n", 1)[1]


def test_servers_see_the_address(lab):
    """One world: copies, captures, two services with one address, changes under load, IPv6, datagrams."""
    web, ids, buyer, engine = lab.server(), lab.sensor(), lab.client(), lab.engine(workers=3)
    (one, one6), (two, _) = (lab.back.address(n) for n in (200, 201))
    vs = lab.virtual_service(pool=[web], name="shop", v6=True, snat_ip=[ip(one)]).wait_servers_up(1)
    for url in (vs.url, vs.url6):
        assert buyer.fresh_get(url).text == "web1\n"
    wait_seen(web, one, one)
    wait_seen(web, engine.back0.ip, path="/health")
    assert set(seen(web)) == {one} and set(seen(web, "/health")) == {engine.back0.ip}
    assert has(engine, one) and row(vs)["snat_ip"] == ip(one) and "snat_ip6_address" not in row(vs)
    assert source(lab, vs) == {"link": "source", "state": "ok", "text": f"Servers see {one} on engine1."}
    # Copies are of these packets; with the client's address they say his.
    for keeps, address in ((False, one), (True, buyer.ip4)):
        ids.forget()
        vs.patch(replace={"traffic_clone_profile_ref": lab.clone_profile([ids], preserve_client_ip=keeps)})
        until(lambda: buyer.fresh_get(vs.url) and ids.saw(src=address, dst=web.ip4, http="GET /", seconds=0.1), "the copy has it")
    ids.settled()
    until(lambda: vs.clone_sum("eligible") == vs.clone_sum("sent") + vs.clone_sum("dropped") > 0, "the books agree")
    # A capture has both legs, and knows that they belong together.
    capture = Capture(lab, vs).wait_engines(1)
    buyer.fresh_get(vs.url + "?id=7")
    capture.end()
    legs = requests_in(capture.download())["7"]
    assert set(legs) == {"client leg", "server leg"} and len(set(legs.values())) == 1
    assert {src for src, in tshark(capture.file, "http.request", "ip.src")} == {buyer.ip4, one}
    # A new proxy knows it as well.
    pid = engine.kill_proxy()
    until(lambda: engine.proxy != pid and buyer.fresh_get(vs.url), "another proxy answers")
    assert seen(web)[-1] == one
    # A neighbour at the same VIP may have the same one.
    raw = also(lab, vs, "raw", 81, snat_ip=[ip(one)])
    wait_up(lab, raw)
    old = buyer.connect(vs.vip, 81)
    until(lambda: engine.run("ss", "-Htn", "state", "established", f"src {one} and dst {web.ip4}").stdout, "it is connected")
    # Others, under load: nobody notices, and a connection that is there goes on.
    with buyer.load(vs.url, 300, timeout=10) as load:
        until(lambda: load.answered > 100, "requests are answered")
        for address in (two, None, two):
            vs.patch(replace={"snat_ip": [ip(address)] if address else []})
            expected = address or engine.back0.ip
            until(lambda: seen(web)[-50:] == [expected] * 50, f"the server sees {expected}")
    assert not load.failed and load.answered > 200
    lab.api.patch(f"virtualservice/{raw['uuid']}", replace={"snat_ip": [ip(two)]})

    def comes_from(address):
        with buyer.connect(vs.vip, 81) as s:
            return read_answer(s) == b"web1\n" and seen(web)[-1] == address
    until(lambda: comes_from(two), "new ones come from the new address")

    def told():
        return lab.api.get(f"virtualservice/{raw['uuid']}/runtime/detail")[0]["stats"]["conn_total"]
    before = told()
    until(lambda: comes_from(two) and told() > before, "the engine has looked who needs which address")
    assert has(engine, one)
    assert read_answer(old) == b"web1\n"
    wait_seen(web, one)
    old.close()
    until(lambda: not has(engine, one), "the old one goes with the last connection")
    # Datagrams, and servers with IPv6 beside such with IPv4.
    echo = Echo(web)
    udp = also(lab, vs, "udp", 5000, snat_ip=[ip(two), ip(one6)], network_profile_ref=profile(lab, "udp"), pool_ref=lab.api.post(
        "pool", {"name": "echoes", "default_server_port": 5000, "servers": [{"ip": ip(web.ip4)}, {"ip": ip(web.ip6)}]})["url"])
    wait_up(lab, udp)
    assert all(Asker(buyer, vs.vip, 5000).ask() for _ in range(4))
    assert set(echo.peers) == {f"::ffff:{two}", one6}
    lab.api.patch(f"virtualservice/{udp['uuid']}", replace={"snat_ip": [ip(one6)]})
    until(lambda: lab.api.get(f"virtualservice/{udp['uuid']}/why")["verdict"] == (
        f"udp answers, but: Servers see {one6} on engine1; those with IPv4 see the service engine's own address: there is no such "
        "SNAT address."), "it is said")


def test_it_moves_with_the_vip_and_is_never_answered_twice(lab):
    """Both families; an engine that is killed, one that hangs; two VIPs of one service; one that another service has now."""
    web, buyer = lab.server(), lab.client()
    neighbour = lab._host(Client(lab, "neighbour", lab.back, 60))
    engines = [lab.engine(workers=1), lab.engine(workers=1)]
    snat = lab.back.address(200)
    vs = lab.virtual_service(pool=[{"ip": ip(web.ip4)}, {"ip": ip(web.ip6)}], name="shop", snat_ip=[ip(snat[0])],
                             snat_ip6_addresses=[ip(snat[1])]).wait_servers_up(2)

    def answers():
        before = len(seen(web))
        return all(buyer.fresh_get(vs.url).status_code == 200 for _ in range(4)) and set(seen(web)[before:]) == set(snat)
    with neighbour.watch(snat[0]) as v4, neighbour.watch(snat[1]) as v6:
        owner, watches = vs.owner(), (v4, v6)
        until(answers, "servers see both addresses")
        turns = [owner.back0.mac]
        until(lambda: [w.now() for w in watches] == turns * 2, "the owner answers")
        for end in (lambda: owner.hang(), lambda: owner.kill()):
            end()
            until(lambda: vs.owner() is not owner and [w.now() for w in watches] == [vs.owner().back0.mac] * 2,
                  "the other one has it")
            vs.wait_up()
            until(answers, "servers see both addresses")
            owner, last = vs.owner(), owner
            turns.append(owner.back0.mac)
            if last.process.running():
                last.go_on()
            else:
                last.begin()
            last.wait_connected()
        assert [w.owners() for w in watches] == [turns] * 2
    # Two VIPs on two engines: each has its own address.
    vips, sources = ([net.address(n)[0] for n in (150, 151)] for net in (lab.front, lab.back))
    pool = lab.api.post("pool", {"name": "plain", "servers": [{"ip": ip(web.ip4)}]})["url"]

    def service(name, vips, sources):
        vsvip = lab.api.post("vsvip", {"name": f"{name}-vip", "vip": [{"vip_id": v, "ip_address": ip(v)} for v in vips]})
        made = lab.api.post("virtualservice", {
            "name": name, "services": [{"port": 80}], "vsvip_ref": vsvip["url"], "pool_ref": pool, "snat_ip": [ip(s) for s in sources],
            "application_profile_ref": lab.ref("applicationprofile", "System-L4-Application")})
        wait_up(lab, made)
        return f"virtualservice/{made['uuid']}"

    def fresh(vip, address):
        with buyer.connect(vip, 80) as s:
            return read_answer(s) == b"web1\n" and seen(web)[-1] == address

    def each_has_its_own():
        return all(fresh(vip, address) for vip, address in zip(vips, sources))
    pair = service("pair", vips, sources)
    until(lambda: all(oper["oper_status"]["state"] == "OPER_UP" for oper in lab.api.get(f"{pair}/runtime")["vip_summary"]), "both are up")
    until(each_has_its_own, "each VIP has its own address")
    assert sorted(has(engine, sources[0]) + 2 * has(engine, sources[1]) for engine in engines) == [1, 2]
    # Another service wants one that still has a connection: it gets it, and never are there two.
    old = buyer.connect(vips[0], 80)
    first = next(engine for engine in engines if has(engine, sources[0]))
    other = next(engine for engine in engines if engine is not first)
    until(lambda: first.run("ss", "-Htn", "state", "established", f"src {sources[0]}").stdout, "it is connected")
    lab.api.patch(pair, replace={"snat_ip": [ip(lab.back.address(n)[0]) for n in (152, 153)]})
    until(lambda: fresh(vips[0], lab.back.address(152)[0]), "new ones come from the new address")
    assert has(first, sources[0])
    with neighbour.watch(sources[0]) as watch:
        until(lambda: watch.now() == first.back0.mac, "it is still there")
        late = service("late", [lab.front.address(154)[0]], sources[:1])
        if not has(other, sources[0]):
            lab.api.post(f"{late}/migrate", {"to_se_ref": f"/api/serviceengine/{other.uuid}"})
        until(lambda: fresh(lab.front.address(154)[0], sources[0]) and watch.now() == other.back0.mac, "the other engine has it")
        assert watch.owners() == [first.back0.mac, other.back0.mac] and not has(first, sources[0])
    old.close()
    # One engine is left: both VIPs, each with its own; one that stops gives all back at once.
    first.stop()
    sources = [lab.back.address(n)[0] for n in (152, 153)]
    assert not any(has(first, source) for source in (*snat, *sources))
    until(each_has_its_own, "each VIP has its own address")
    assert all(has(other, source) for source in sources)


def test_an_address_that_no_network_holds_and_one_that_a_stranger_has(lab):
    web, buyer, engine = lab.server(), lab.client(), lab.engine()
    routed, taken = "203.0.113.9", lab.back.address(77)[0]
    web.ip("route", "add", f"{routed}/32", "via", engine.back0.ip)
    stranger = lab._host(Client(lab, "stranger", lab.back, 77))
    vs = lab.virtual_service(pool=[web], name="shop", snat_ip=[ip(routed)]).wait_servers_up(1)
    assert buyer.fresh_get(vs.url).text == "web1\n"
    wait_seen(web, routed)
    assert has(engine, routed, "front0") and vs.reason() == (
        f"No network of this service engine holds the SNAT address {routed}: it is announced on front0, and servers need a "
        "route to it.")
    verdict = lab.api.get(f"virtualservice/{vs.uuid}/why")["verdict"]
    assert verdict.startswith(f"shop answers, but: engine1: No network of this service engine holds the SNAT address {routed}")
    # Until it is ours the one before stays.
    vs.patch(replace={"snat_ip": [ip(taken)]})
    until(lambda: f"SNAT address {taken} is not used yet: an owner is alive: {stranger.mac}" in vs.reason(), "it is told")
    assert vs.state() == "OPER_UP" and buyer.fresh_get(vs.url).text == "web1\n"
    wait_seen(web, routed, routed)
    # Where there was none before, nobody is reached: what servers see is never another one.
    vs.patch(replace={"enabled": False})
    until(lambda: vs.state() == "OPER_DISABLED" and not has(engine, routed, "front0"), "it is off")
    vs.patch(replace={"enabled": True})
    until(lambda: vs.state() == "OPER_DOWN" and f"SNAT address {taken}: an owner is alive" in vs.reason(), "it is down")
    count = len(seen(web))
    assert buyer.fresh_get(vs.url).status_code == 503 and len(seen(web)) == count
    until(lambda: (source(lab, vs) or {}).get("state") == "warning", "it is counted")
    assert f"the SNAT address was not there ({taken} on engine1)" in source(lab, vs)["text"]
    stranger.ip("addr", "flush", "dev", "eth0")
    vs.wait_up()
    assert buyer.fresh_get(vs.url).text == "web1\n"
    wait_seen(web, taken)
    # The engine's own address is used as it is, and said not to move.
    vs.patch(replace={"snat_ip": [ip(engine.back0.ip)]})
    until(lambda: vs.reason() == f"Servers see {engine.back0.ip}, which is this service engine's own address: it does not move with the VIP.",
          "it is said")
    assert vs.state() == "OPER_UP" and buyer.fresh_get(vs.url).text == "web1\n"
    wait_seen(web, engine.back0.ip)
    vs.patch(replace={"snat_ip": [ip(taken)]})
    until(lambda: buyer.fresh_get(vs.url).text == "web1\n" and seen(web)[-1] == taken, "and another one again, when it is ours")
    until(lambda: vs.reason() == "", "nothing is wrong with that")
    assert has(engine, engine.back0.ip)
    # No port is left: counted, and said.
    engine.sysctl("net.ipv4.ip_local_port_range", "40000 40001")
    held = [buyer.connect(vs.vip, 80) for _ in range(4)]
    for s in held:
        s.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
    until(lambda: f"all ports of {taken} on engine1 were in use" in source(lab, vs)["text"], "it is said")


def test_what_is_refused(admin):
    def make(name, vips, **more):
        vsvip = admin.make("vsvip", name=f"{name}-vip", vip=[
            {"vip_id": str(n), "ip_address": ip(v)} for n, v in enumerate(vips)])["uuid"]
        return admin.post("virtualservice", {"name": name, "services": [{"port": 80}], "vsvip_ref": f"/api/vsvip/{vsvip}", **more})

    def refused(text, vips, **more):
        assert text in error(make(f"bad{next(numbers)}", vips, **more), 400)
    numbers = iter(range(100))
    addresses = (f"10.9.0.{n}" for n in range(1, 200))
    first = make("first", ["10.8.0.1", "10.8.0.2"], snat_ip=[ip("10.8.1.1"), ip("10.8.1.2")]).json()
    for text, values in (
            ("snat_ip[0]: 10.8.0.1 is a VIP, of VsVip 'first-vip': servers cannot see it as their client.", ["10.8.0.1"]),
            ("snat_ip[0]: 10.8.1.2 is used by virtual service 'first' on another VsVip: two service engines could answer for it.",
             ["10.8.1.2"]),
            ("snat_ip[1]: 10.8.1.9 is there twice.", ["10.8.1.9", "10.8.1.9"]),
            ("snat_ip[0]: '224.0.0.9' is not an address that servers could see.", ["224.0.0.9"]),
            ("snat_ip[0]: 'fe80::1' is not an address that servers could see.", ["fe80::1"])):
        refused(text, [next(addresses)], snat_ip=[ip(v) for v in values])
    refused("snat_ip[0]: 'shop.test' is not an address", [next(addresses)], snat_ip=[{"addr": "shop.test", "type": "DNS"}])
    refused("snat_ip6_addresses[0]: 10.8.1.9 is not an IPv6 address.", [next(addresses)], snat_ip6_addresses=[ip("10.8.1.9")])
    refused("snat_ip: Its VsVip has 2 VIPs, and each needs an SNAT address of its own; 1 is given.",
            [next(addresses), next(addresses)], snat_ip=[ip("10.8.1.9")])
    refused("use_vip_as_snat", [next(addresses)], use_vip_as_snat=True)
    # At the same VIPs it may be shared, in the same order.
    body = {"services": [{"port": 81}], "vsvip_ref": first["vsvip_ref"]}
    text = error(admin.post("virtualservice", {"name": "turned", **body, "snat_ip": [ip("10.8.1.2"), ip("10.8.1.1")]}), 400)
    assert "10.8.1.2 goes with another VIP for virtual service 'first'" in text
    second = admin.make("virtualservice", name="second", **body, snat_ip=first["snat_ip"])
    # No VIP may take it, and a VsVip does not grow beyond what its services have.
    text = error(admin.post("vsvip", {"name": "late", "vip": [{"ip_address": ip("10.8.1.1")}]}), 400)
    assert text.startswith("vip[0].ip_address: ") and "10.8.1.1 as an SNAT address" in text
    vsvip = first["vsvip_ref"].split("/")[-1].split("#")[0]
    text = error(admin.patch(f"vsvip/{vsvip}", {"add": {"vip": [{"vip_id": "7", "ip_address": ip("10.8.0.7")}]}}), 400)
    assert text == "vip: Virtual service 'first' has an SNAT address for 2 of these 3 VIPs." or "'second'" in text
    # Given back by the last who has it.
    assert admin.delete(f"virtualservice/{first['uuid']}").status_code == 204
    refused("is used by virtual service 'second'", [next(addresses)], snat_ip=[ip("10.8.1.1")])
    assert admin.patch(f"virtualservice/{second['uuid']}", {"replace": {"snat_ip": []}}).status_code == 200
    assert make("third", [next(addresses)], snat_ip=[ip("10.8.1.1")]).status_code == 201
