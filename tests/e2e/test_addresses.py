"""Addresses that the controller gives: from which ranges, to whom, when they come back, and what clients see of it."""

import threading

import pytest

from contract import error, server


def ip(text):
    return {"addr": text, "type": "V6" if ":" in text else "V4"}


def subnet(prefix, first=None, last=None, kind="STATIC_IPS_FOR_VIP_AND_SE"):
    """A subnet, with one range when there is a first."""
    base, mask = prefix.split("/")
    out = {"prefix": {"ip_addr": ip(base), "mask": int(mask)}}
    if first:
        out["static_ip_ranges"] = [{"range": {"begin": ip(first), "end": ip(last)}, "type": kind}]
    return out


def network(admin, name, *subnets, **more):
    return admin.make("network", name=name, configured_subnets=list(subnets), **more)


def asks(net, **more):
    return {"auto_allocate_ip": True, "ipam_network_subnet": {"network_ref": f"/api/network?name={net}"}, **more}


def given(vsvip, i=0, family="ip_address"):
    return vsvip["vip"][i].get(family, {}).get("addr")


def events(admin, event_id):
    found = admin.get("analytics/logs?type=2&page_size=200").json()["results"]
    return [e for e in found if e["event_id"] == event_id]


def test_addresses_come_in_turn_and_are_shown(admin):
    network(admin, "turn", subnet("10.20.0.0/24", "10.20.0.10", "10.20.0.12"))
    one = admin.make("vsvip", name="turn-1", vip=[asks("turn")])
    assert given(one) == "10.20.0.10" and one["vip"][0]["avi_allocated_vip"] is True
    assert one["vip"][0]["vip_id"] == "0" and "turn" in one["vip"][0]["discovered_networks"][0]["network_ref"]
    assert given(admin.get(f"vsvip/{one['uuid']}").json()) == "10.20.0.10"
    # What was freed comes again only after the others.
    admin.delete(f"vsvip/{one['uuid']}")
    made = [admin.make("vsvip", name=f"turn-{n}", vip=[asks("turn")]) for n in (2, 3, 4)]
    assert [given(v) for v in made] == ["10.20.0.11", "10.20.0.12", "10.20.0.10"]
    text = error(admin.post("vsvip", {"name": "turn-5", "vip": [asks("turn")]}), 400)
    assert "No available free IPs" in text and "turn" in text and text.startswith("vip[0]")
    assert admin.find("vsvip", "turn-5") is None
    assert "3 of 3 addresses" in events(admin, "IP_POOL_EXHAUSTED")[0]["event_description"]
    # Two in one VsVip: both or none.
    admin.delete(f"vsvip/{made[0]['uuid']}")
    error(admin.post("vsvip", {"name": "both", "vip": [asks("turn", vip_id="a"), asks("turn", vip_id="b")]}), 400)
    assert given(admin.make("vsvip", name="alone", vip=[asks("turn")])) == "10.20.0.11"


def test_an_event_tells_before_it_is_too_late(admin):
    network(admin, "nearly", subnet("10.21.0.0/24", "10.21.0.1", "10.21.0.10"))
    vips = [asks("nearly", vip_id=str(n)) for n in range(8)]
    admin.make("vsvip", name="nearly-8", vip=vips)
    before = len(events(admin, "IP_POOL_ALMOST_EXHAUSTED"))
    admin.make("vsvip", name="nearly-9", vip=[asks("nearly")])
    found = events(admin, "IP_POOL_ALMOST_EXHAUSTED")
    assert len(found) == before + 1 and "9 of 10 addresses" in found[0]["event_description"]


def test_it_is_kept_by_bodies_that_do_not_carry_it(admin):
    """Terraform and Ansible send what they were told, not what the controller filled in."""
    network(admin, "keep", subnet("10.22.0.0/24", "10.22.0.1", "10.22.0.20"))
    network(admin, "keep2", subnet("10.23.0.0/24", "10.23.0.1", "10.23.0.20"))
    body = {"name": "kept", "vip": [asks("keep", vip_id="1", enabled=True, avi_allocated_vip=False,
                                         auto_allocate_ip_type="V4_ONLY", prefix_length=32)]}
    made = admin.make("vsvip", **body)
    path, address = f"vsvip/{made['uuid']}", given(made)
    for _ in range(2):
        again = admin.put(path, body).json()
        assert given(again) == address and again["vip"][0]["avi_allocated_vip"] is True
    # The whole answer of a GET, as the Python SDK sends it back.
    whole = admin.get(path).json()
    assert given(admin.put(path, whole).json()) == address
    assert given(admin.patch(path, {"replace": {"bgp_peer_labels": ["a"]}}).json()) == address
    # A second VIP by PATCH gets its own; the first one stays.
    two = admin.patch(path, {"add": {"vip": [asks("keep", vip_id="2")]}}).json()
    assert given(two) == address and given(two, 1) not in (None, address)
    # Asked for from elsewhere: the old one is free.
    moved = admin.put(path, {"name": "kept", "vip": [asks("keep2", vip_id="1")]}).json()
    assert given(moved) == "10.23.0.1"
    # An address of one's own choice, and back.
    fixed = admin.put(path, {"name": "kept", "vip": [{"vip_id": "1", "ip_address": ip("10.22.0.99")}]}).json()
    assert given(fixed) == "10.22.0.99" and fixed["vip"][0]["avi_allocated_vip"] is False
    text = error(admin.put(path, {"name": "kept", "vip": [{"vip_id": "9", "ip_address": ip("10.22.0.99")}]}), 400)
    assert "Changing an existing VIP's vip_id is not supported" in text


def test_what_is_in_use_is_not_given(admin):
    network(admin, "busy", subnet("10.24.0.0/29", "10.24.0.0", "10.24.0.7"))     # .0 and .7 are nobody's
    admin.make("pool", name="busy", servers=[server("10.24.0.1")])
    admin.make("vsvip", name="busy-own", vip=[{"vip_id": "0", "ip_address": ip("10.24.0.2")}])
    vrf = admin.find("vrfcontext", "global")
    admin.patch(f"vrfcontext/{vrf['uuid']}", {"add": {"static_routes": [
        {"route_id": "1", "prefix": {"ip_addr": ip("10.99.0.0"), "mask": 16}, "next_hop": ip("10.24.0.3")}]}})
    assert given(admin.make("vsvip", name="busy-4", vip=[asks("busy")])) == "10.24.0.4"
    # One VRF's addresses say nothing about another's; somebody's who does not say where count everywhere.
    network(admin, "busy-m", subnet("10.24.0.0/29", "10.24.0.1", "10.24.0.6"),
            vrf_context_ref="/api/vrfcontext?name=management")
    other = admin.make("vsvip", name="busy-m", vip=[asks("busy-m")], vrf_context_ref="/api/vrfcontext?name=management")
    assert given(other) == "10.24.0.2"
    text = error(admin.post("vsvip", {"name": "wrong vrf", "vip": [asks("busy-m")]}), 400)
    assert "another VRF" in text
    # A static address that somebody has is refused, and who has it is named.
    admin.make("virtualservice", name="busy-shop", vsvip_ref="/api/vsvip?name=busy-own", services=[{"port": 80}])
    text = error(admin.post("vsvip", {"name": "thief", "vip": [{"vip_id": "0", "ip_address": ip("10.24.0.2")}]}), 400)
    assert "busy-own" in text and "busy-shop" in text and text.startswith("vip[0].ip_address")
    admin.patch(f"vrfcontext/{vrf['uuid']}", {"replace": {"static_routes": []}})
    # The two begin with the same four bytes, and the rest is zero.
    admin.make("vsvip", name="four", vip=[{"vip_id": "0", "ip_address": ip("10.24.1.1")},
                                          {"vip_id": "1", "ip_address": ip("10.24.1.2"), "ip6_address": ip("a18:102::")}])
    six = admin.make("vsvip", name="six", vip=[{"vip_id": "0", "ip6_address": ip("a18:101::")}])
    for address, kind in (("10.24.1.1", "ip_address"), ("a18:101::", "ip6_address"), ("a18:101:0:0::0", "ip6_address")):
        thief = admin.post("vsvip", {"name": "thief", "vip": [{"vip_id": "0", kind: ip(address)}]})
        assert "is in use by" in error(thief, 400)
    admin.delete(f"vsvip/{six['uuid']}")
    admin.make("vsvip", name="six again", vip=[{"vip_id": "0", "ip6_address": ip("a18:101::")}])


def test_both_families_and_ranges_of_engines(admin):
    network(admin, "dual", subnet("10.25.0.0/24", "10.25.0.5", "10.25.0.9"),
            subnet("fd25::/64", "fd25::5", "fd25::ffff:ffff", "STATIC_IPS_FOR_VIP"))
    both = admin.make("vsvip", name="dual", vip=[asks("dual", auto_allocate_ip_type="V4_V6")])
    assert (given(both), given(both, family="ip6_address")) == ("10.25.0.5", "fd25::5")
    six = admin.make("vsvip", name="six", vip=[asks("dual", auto_allocate_ip_type="V6_ONLY")])
    assert (given(six), given(six, family="ip6_address")) == (None, "fd25::6")
    network(admin, "engines", subnet("10.26.0.0/24", "10.26.0.5", "10.26.0.9", "STATIC_IPS_FOR_SE"))
    assert "No available free IPs" in error(admin.post("vsvip", {"name": "no", "vip": [asks("engines")]}), 400)
    text = error(admin.post("vsvip", {"name": "no", "vip": [asks("engines", auto_allocate_ip_type="V6_ONLY")]}), 400)
    assert "No available free IPs" in text
    # Only one of the subnets of a network; older spellings of ranges; placement_networks name a network as well.
    made = admin.make("network", name="two nets", configured_subnets=[
        {**subnet("10.27.0.0/24"), "static_ranges": [{"begin": ip("10.27.0.5"), "end": ip("10.27.0.6")}]},
        {**subnet("10.28.0.0/24"), "static_ips": [ip("10.28.0.5")]}])
    assert made["configured_subnets"][0]["static_ip_ranges"][0]["type"] == "STATIC_IPS_FOR_VIP_AND_SE"
    # A playbook that compares what it wrote with what is there finds it; who writes the newer form is told no other.
    sent = {"name": "two nets", "configured_subnets": [
        {**subnet("10.27.0.0/24"), "static_ranges": [{"begin": ip("10.27.0.5"), "end": ip("10.27.0.6")}]},
        {**subnet("10.28.0.0/24"), "static_ips": [ip("10.28.0.5")]}]}
    path = f"network/{made['uuid']}"
    for told in (admin.get(path).json(), admin.put(path, sent).json(), admin.put(path, admin.get(path).json()).json()):
        first, second = told["configured_subnets"]
        assert first["static_ranges"] == sent["configured_subnets"][0]["static_ranges"] and "static_ips" not in first
        assert second["static_ips"] == [ip("10.28.0.5")] and told["_last_modified"] == made["_last_modified"]
    newer = [subnet("10.27.0.0/24", "10.27.0.5", "10.27.0.7"), subnet("10.28.0.0/24", "10.28.0.5", "10.28.0.5")]
    told = admin.put(path, {"name": "two nets", "configured_subnets": newer}).json()
    assert not {"static_ranges", "static_ips"} & (told["configured_subnets"][0].keys() | told["configured_subnets"][1].keys())
    stale = [{**newer[0], "static_ranges": sent["configured_subnets"][0]["static_ranges"]}, newer[1]]
    assert "static_ranges" not in admin.put(path, {"name": "two nets", "configured_subnets": stale}).json()["configured_subnets"][0]
    admin.put(path, sent)
    ask = asks("two nets")
    ask["ipam_network_subnet"]["subnet"] = subnet("10.28.0.0/24")["prefix"]
    assert given(admin.make("vsvip", name="second", vip=[ask])) == "10.28.0.5"
    assert "No available free IPs" in error(admin.post("vsvip", {"name": "no", "vip": [ask]}), 400)
    place = {"auto_allocate_ip": True, "placement_networks": [{"network_ref": "/api/network?name=two nets",
                                                               "subnet": subnet("10.27.0.0/24")["prefix"]}]}
    assert given(admin.make("vsvip", name="placed", vip=[place])) == "10.27.0.5"


@pytest.mark.parametrize("subnets, path", [
    ([subnet("10.30.0.0/24", "10.30.1.1", "10.30.1.9")], "configured_subnets[0].static_ip_ranges[0].range.begin"),
    ([subnet("10.30.0.0/24", "10.30.0.9", "10.30.0.1")], "configured_subnets[0].static_ip_ranges[0].range.end"),
    ([subnet("10.30.0.0/24", "10.30.0.9", "fd00::1")], "configured_subnets[0].static_ip_ranges[0].range.end"),
    ([subnet("10.30.0.0/24"), subnet("10.30.0.128/25")], "configured_subnets[1].prefix"),
])
def test_ranges_that_make_no_sense(admin, subnets, path):
    assert error(admin.post("network", {"name": "bad", "configured_subnets": subnets}), 400).startswith(path)


def test_who_asks_at_once_gets_another_one(controller, admin):
    network(admin, "race", subnet("10.31.0.0/24", "10.31.0.1", "10.31.0.30"))
    got, lock = [], threading.Lock()

    def work(who):
        mine = controller.session()
        for n in range(5):
            made = mine.post("vsvip", {"name": f"race-{who}-{n}", "vip": [asks("race")]})
            with lock:
                got.append(given(made.json()))
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(got)) == 30 and None not in got


def test_an_inline_vip_asks_as_well(admin):
    network(admin, "inline", subnet("10.32.0.0/24", "10.32.0.1", "10.32.0.9"))
    body = {"name": "inline", "services": [{"port": 80}], "vip": [asks("inline", vip_id="1")]}
    vs = admin.make("virtualservice", **body)
    made = admin.find("vsvip", "vsvip-inline")
    assert given(made) == "10.32.0.1"
    assert admin.put(f"virtualservice/{vs['uuid']}", body).status_code == 200
    assert given(admin.find("vsvip", "vsvip-inline")) == "10.32.0.1"


def test_it_is_given_again_after_a_restart_only_when_free(controller, admin):
    network(admin, "restart", subnet("10.33.0.0/24", "10.33.0.1", "10.33.0.9"))
    assert given(admin.make("vsvip", name="restart-1", vip=[asks("restart")])) == "10.33.0.1"
    controller.kill()
    controller.start()
    admin.login()
    assert given(admin.make("vsvip", name="restart-2", vip=[asks("restart")])) == "10.33.0.2"


def test_a_cloud_brings_its_group_and_domains(admin):
    cloud = admin.make("cloud", name="lab", vtype="CLOUD_LINUXSERVER")
    ref = f"/api/cloud/{cloud['uuid']}"
    assert "CLOUD_AWS" in error(admin.post("cloud", {"name": "far", "vtype": "CLOUD_AWS"}), 400)

    def own(kind, name):
        found = admin.get(f"{kind}?name={name}&cloud_ref.name=lab").json()["results"]
        assert len(found) == 1
        return found[0]
    group, domain = own("serviceenginegroup", "Default-Group"), own("vrfcontext", "global")
    assert own("vrfcontext", "management")["system_default"] is True
    # Defaults are looked up in the object's own cloud.
    vsvip = admin.make("vsvip", name="lab-vip", cloud_ref=ref, vip=[{"vip_id": "0", "ip_address": ip("10.34.0.1")}])
    vs = admin.make("virtualservice", name="lab-vs", cloud_ref=ref, vsvip_ref=vsvip["url"], services=[{"port": 80}])
    assert group["uuid"] in vs["se_group_ref"] and domain["uuid"] in vs["vrf_context_ref"]
    assert domain["uuid"] in vsvip["vrf_context_ref"]
    # Names are found where the object is, and nothing refers across.
    admin.make("pool", name="here", servers=[server("10.34.1.1")])
    pool = admin.find("pool", "here")
    text = error(admin.post("virtualservice", {"name": "across", "cloud_ref": ref, "vsvip_ref": vsvip["url"],
                                               "services": [{"port": 81}], "pool_ref": f"/api/pool/{pool['uuid']}"}), 400)
    assert text.startswith("pool_ref") and "another cloud" in text
    text = error(admin.patch(f"vsvip/{vsvip['uuid']}", {"replace": {
        "vip": [asks("turn", vip_id="0")]}}), 400)
    assert "another cloud" in text or "not found" in text
    # It cannot go while something lives in it, and then takes along what came with it.
    assert admin.delete(f"cloud/{cloud['uuid']}").status_code == 412
    own("serviceenginegroup", "Default-Group")
    for path in (f"virtualservice/{vs['uuid']}", f"vsvip/{vsvip['uuid']}", f"cloud/{cloud['uuid']}"):
        assert admin.delete(path).status_code == 204
    assert admin.get("vrfcontext?name=global").json()["count"] == 1
