"""What the sensor gets is what the virtual service said, and production does not notice."""

import pytest

from lab import until
from lab.packets import BAD_CHECKSUM


def books_closed(vs, *sensors, dropped=("ended",)):
    """eligible - dropped == sent == what came at the far end of the wire; the number."""
    def equal():
        sums = vs.clone_told()
        sums["dropped"] = sum(sums[f"dropped_{reason}"] for reason in dropped)
        return 0 < sums["eligible"] - sums["dropped"] == sums["sent"] == sum(s.settled() for s in sensors)
    try:
        until(equal, "the books are closed")
    except AssertionError as late:
        raise AssertionError(f"{late}: {vs.clone_stats()}, "
                             f"seen {[sensor.count() for sensor in sensors]}") from None
    return sum(sensor.count() for sensor in sensors)


@pytest.mark.parametrize("place", ["own_link", "servers_switch"])
def test_whole_legal_conversations_arrive(lab, place):
    ids = lab.sensor(on=lab.back if place == "servers_switch" else None)
    web, client, engine = [lab.server() for _ in range(2)], lab.client(), lab.engine()
    offloads = engine.offloads()
    vs = lab.virtual_service(pool=web, clone=lab.clone_profile([ids])).wait_servers_up(2)
    for n in range(20):
        assert client.fresh_get(vs.url).ok
    assert len(client.get(vs.url + "files/1048576").content) == 1 << 20
    client.session.close()
    engine.stop()           # closes what it kept open to the servers
    ids.settled()
    assert ids.illegal(engine.macs()) == []
    talks = ids.conversations()
    assert talks and all(talk.handshake and talk.missing == 0 for talk in talks)
    assert sum(talk.sent.count(b"GET / HTTP/1.1") for talk in talks) == 20
    assert sum(len(talk.answered) for talk in talks) > 1 << 20
    assert ids.tshark(BAD_CHECKSUM) == []
    assert engine.offloads() == offloads, "production's interfaces keep their offloads"


def test_the_books_agree_with_the_wire(lab):
    ids, web, client = lab.sensor(), lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    with client.load(vs.url, 500) as load:
        until(lambda: load.answered >= 1000, "1,000 answers")
    client.get(vs.url + "files/1048576")
    client.session.close()
    assert not load.failed
    print(f"measured: {books_closed(vs, ids)} copies of {load.answered} requests, none missing")


def test_the_books_go_on_when_the_profile_changes(lab):
    """On, edited and off under load, again and again: what copied before counts on, and what it counted is not forgotten."""
    sensors, web, client = [lab.sensor() for _ in range(2)], lab.server(), lab.client()
    lab.engine()
    profile = lab.clone_profile(sensors)
    path = "trafficcloneprofile/" + profile.split("/")[-1]
    vs = lab.virtual_service(pool=[web]).wait_servers_up(1)
    servers = lab.api.get(path)["clone_servers"]
    with client.load(vs.url, 100) as keeping, client.load(vs.url, 50, reuse=False) as fresh:
        for n in range(30):
            if n % 10 == 0:
                vs.patch(replace={"traffic_clone_profile_ref": profile})
            elif n % 10 == 9:
                vs.patch(delete={"traffic_clone_profile_ref": profile})
            else:
                lab.api.patch(path, replace={"clone_servers": servers[n % 2:], "preserve_client_ip": n % 3 == 0})
            answered = keeping.answered
            until(lambda: keeping.answered > answered + 8, "requests are answered")
    assert not keeping.failed and not fresh.failed
    # What begins before a clone server's MAC address is known, after it was switched on, is not copied.
    seen = books_closed(vs, *sensors, dropped=("ended", "no_neighbour"))
    print(f"measured: {seen} copies through 30 changes, none uncounted")


def live_fields(model, message):
    """Paths of the fields that mean something to the engine."""
    for field in model["messages"][message]["fields"]:
        if field.get("apply") == "bpf":
            yield field["name"]
            if "message" in field:
                yield from (f"{field['name']}.{path}" for path in live_fields(model, field["message"]))


def test_no_request_fails_whichever_field_is_edited(lab):
    """One field after the other, under load; each that the model has."""
    (ids, other), web, client, engine = [lab.sensor() for _ in range(2)], lab.server(), lab.client(), lab.engine()
    lab.api.post("network", {"name": "span", "configured_subnets": [{"prefix": {
        "ip_addr": {"addr": lab.span.address(0)[0], "type": "V4"}, "mask": 24}}]})
    collector = {"addr": client.ip4, "type": "V4"}
    edits = [
        ("clone_servers", [{}, {"ip_address": {"addr": other.ip4, "type": "V4"}}]),
        ("clone_servers.ip_address", {"addr": ids.ip6, "type": "V6"}),
        ("clone_servers.ip_address", {"addr": ids.ip4, "type": "V4"}),
        ("clone_servers.mac", ids.mac),
        ("clone_servers.subnet", {"ip_addr": {"addr": lab.span.address(0)[0], "type": "V4"}, "mask": 24}),
        ("clone_servers.network_ref", lab.ref("network", "span")),
        ("clone_servers.encapsulation", {}),
        ("clone_servers.encapsulation.type", "CLONE_ENCAP_VXLAN"),
        ("clone_servers.encapsulation.vni", 77),
        ("clone_servers.encapsulation.port", 8472),
        ("clone_servers.encapsulation", {"type": "CLONE_ENCAP_ERSPAN_II"}),
        ("clone_servers.encapsulation.session_id", 9),
        ("clone_servers.encapsulation", {"type": "CLONE_ENCAP_GRE"}),
        ("clone_servers.encapsulation.key", 3),
        ("clone_servers.encapsulation", {}),
        ("preserve_client_ip", True),
        ("filter", {}),
        ("filter.client_prefixes", [{"ip_addr": {"addr": client.ip4, "type": "V4"}, "mask": 24}]),
        ("filter.sample_percent", 50),
        ("side", "CLONE_SIDE_CLIENT"),
        ("side", "CLONE_SIDE_BOTH"),
        ("side", "CLONE_SIDE_SERVER"),
        ("max_packets_per_second", 100),
        ("max_bits_per_second", 64000),
        ("payload", "CLONE_DECRYPTED"),
        ("filter.sample_percent", 100),
        ("max_packets_per_second", 0),
        ("max_bits_per_second", 0),
        ("decrypted_port", 8080),
        ("marker_mac", "02:aa:bb:cc:dd:ee"),
        ("masked_headers", ["Cookie"]),
        ("filter.path_prefixes", ["/"]),
        ("filter.hosts", ["nobody.example"]),
        ("filter.hosts", []),
        ("flow_log", {"type": "CLONE_LOG_SYSLOG", "ip_address": collector}),
        ("flow_log.port", 5140),
        ("flow_log.type", "CLONE_LOG_UDP"),
        ("flow_log.ip_address", {"addr": lab.front.address(99)[0], "type": "V4"}),
        ("flow_log", {"type": "CLONE_LOG_FILE", "file_name": "a"}),
        ("flow_log.file_name", "b"),
    ]
    assert {path for path, _ in edits} == set(live_fields(lab.api.get("model"), "TrafficCloneProfile"))
    profile = {"name": "edited", "clone_servers": [{"ip_address": {"addr": ids.ip4, "type": "V4"}}]}
    path = "trafficcloneprofile/" + lab.api.post("trafficcloneprofile", profile)["uuid"]
    vs = lab.virtual_service(pool=[web], monitor=None, clone=f"/api/{path}")
    with client.load(vs.url, 450, timeout=10) as keeping, client.load(vs.url, 50, reuse=False, timeout=10) as fresh:
        for field, value in edits:
            *way, last = field.split(".")
            at = profile
            for name in way:
                at = at.setdefault(name, [{}])[0] if name == "clone_servers" else at.setdefault(name, {})
            at[last] = [{**at[last][0], **value[0]}, *value[1:]] if last == "clone_servers" else value
            lab.api.put(path, profile)
            before = keeping.answered, fresh.answered
            until(lambda: keeping.answered >= before[0] + 20 and fresh.answered >= before[1] + 2, f"answers under {field}")
            assert not keeping.failed and not fresh.failed, (field, keeping, fresh)
    print(f"measured: {len(edits)} edits: {keeping}; fresh {fresh}")
    until(lambda: (engine.state / "flows/b").exists(), "the last one has its effect")


@pytest.mark.parametrize("http", [True, False], ids=["http", "l4"])
@pytest.mark.parametrize("preserve", [True, False], ids=["client_ip", "engine_ip"])
def test_the_copy_carries_the_address_it_should(lab, http, preserve):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    clone = lab.clone_profile([ids], preserve_client_ip=preserve)
    vs = lab.virtual_service(pool=[web], http=http, clone=clone).wait_servers_up(1)
    assert client.fresh_get(vs.url).ok
    assert ids.saw(src=client.ip4 if preserve else engine.back0.ip, dst=web.ip4, http="GET /")
    assert ids.illegal(engine.macs()) == []
    until(lambda: len(web.requests()) == 1, "the server has one request")
    assert web.requests()[0].startswith(engine.back0.ip), "the server sees the engine"


def test_with_preserved_addresses_clients_never_share_a_server_connection(lab):
    ids, web = lab.sensor(), lab.server()
    clients = [lab.client() for _ in range(3)]
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids], preserve_client_ip=True))
    for _ in range(5):
        for client in clients:
            assert client.get(vs.url).ok
    ids.settled()
    assert sum(talk.sent.count(b"GET / ") for talk in ids.conversations()) == 15
    for talk in ids.conversations():
        assert talk.complete, "each from a SYN of its own"
        for other in clients:
            assert (other.ip4.encode() in talk.sent) == (other.ip4 == talk.client)


def test_each_flow_goes_to_one_clone_server(lab):
    """In turn, whatever the pool's algorithm does with its servers."""
    sensors = [lab.sensor() for _ in range(3)]
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=web, http=False, clone=lab.clone_profile(sensors),
                             pool_more={"lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH"})
    vs.wait_servers_up(2)
    for _ in range(13):
        assert client.fresh_get(vs.url).ok
    books_closed(vs, *sensors)
    talks = [sensor.conversations() for sensor in sensors]
    assert sorted(len(of_one) for of_one in talks) == [4, 4, 5]
    assert all(talk.complete and talk.ended for of_one in talks for talk in of_one)


def test_each_worker_gives_flows_in_turn(lab):
    """Three workers, three sensors: of each worker's flows none has more than one more than another."""
    sensors, web, client = [lab.sensor() for _ in range(3)], lab.server(), lab.client()
    lab.engine(workers=3)
    vs = lab.virtual_service(pool=[web], http=False, monitor=None, clone=lab.clone_profile(sensors, mac=True))
    client.run("curl", "-sSf", "-H", "Connection: close", "-o", "/dev/null", f"{vs.url}?[1-300]")
    books_closed(vs, *sensors)
    flows = [sum(talk.complete for talk in sensor.conversations()) for sensor in sensors]
    assert sum(flows) == 300 and max(flows) - min(flows) <= 3, flows


def test_ipv6_is_copied_too(lab):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    clone = lab.clone_profile([ids], preserve_client_ip=True)
    vs = lab.virtual_service(pool=[web], v6=True, servers_v6=True, clone=clone).wait_servers_up(1)
    assert client.fresh_get(vs.url6).ok
    assert ids.saw(src=client.ip6, dst=web.ip6, http="GET /")
    assert ids.illegal(engine.macs()) == []


def test_a_given_mac_needs_no_resolving(lab):
    ids, web, client = lab.sensor(), lab.server(), lab.client()
    ids.ip("link", "set", "eth0", "arp", "off")
    lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids], mac=True))
    assert client.fresh_get(vs.url).ok
    assert ids.saw(http="GET /")


def test_the_subnet_says_which_interface_copies_leave_by(lab):
    """Of its own, or of its network: a MAC address by itself leads nowhere."""
    sensors, web, client = [lab.sensor() for _ in range(2)], lab.server(), lab.client()
    lab.engine(workers=1)
    prefix = {"ip_addr": {"addr": lab.span.address(0)[0], "type": "V4"}, "mask": 24}
    network = lab.api.post("network", {"name": "span", "configured_subnets": [{"prefix": prefix}]})
    profile = lab.api.post("trafficcloneprofile", {"name": "far", "clone_servers": [
        {"mac": sensor.mac, **more}
        for sensor, more in zip(sensors, ({"subnet": prefix}, {"network_ref": network["url"]}))]})
    vs = lab.virtual_service(pool=[web], http=False, clone=profile["url"]).wait_servers_up(1)
    for _ in range(2):
        assert client.fresh_get(vs.url).ok
    assert all(sensor.saw(http="GET /") for sensor in sensors)


@pytest.mark.parametrize("place", ["own_link", "servers_switch"])
def test_production_does_not_notice_a_sensor(lab, place):
    """Unplugged, back, gone: every request is answered, and the switch knows the servers' ports."""
    ids = lab.sensor(on=lab.back if place == "servers_switch" else None)
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    with client.load(vs.url, 500) as load:
        until(lambda: ids.count() > 100, "copies arrive")
        assert lab.back.knows(web.mac) == web.eth.port
        ids.eth.unplug()
        answered = load.answered
        until(lambda: load.answered > answered + 500, "requests are answered without the sensor")
        ids.eth.plug()
        ids.forget()
        until(lambda: ids.count() > 100, "copies arrive again")
        assert lab.back.knows(web.mac) == web.eth.port
        vs.patch(delete={"traffic_clone_profile_ref": ""})
        assert ids.settled(), "copies end"
        answered = load.answered
        until(lambda: load.answered > answered + 200, "requests are answered without the clone")
    print(f"measured: sensor unplugged, back, gone: {load}")
    assert not load.failed


def test_books_stay_true_when_the_link_is_down(lab):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    assert client.fresh_get(vs.url).ok
    first = books_closed(vs, ids)
    engine.span0.unplug()
    until(lambda: "NO-CARRIER" in engine.ip("link", "show", "span0"), "the carrier is gone")
    for _ in range(5):
        assert client.fresh_get(vs.url).ok

    def books():
        sums = vs.clone_told()
        dropped = sums["dropped_link_down"] + sums["dropped_no_interface"]
        return sums if dropped and sums["eligible"] == sums["sent"] + dropped else None
    assert until(books, "the books say it")["sent"] == first
