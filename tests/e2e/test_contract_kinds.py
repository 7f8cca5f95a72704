"""What kinds promise beyond their tables: addresses, ports, tenants, roles."""

import jsonschema
import pytest

from contract import error, server, vip
from pki import Identity


@pytest.fixture(scope="module")
def tenants(admin):
    """Two tenants, a super-user's sessions in them."""
    for name in ("red", "blue"):
        admin.make("tenant", name=name)
    return {name: admin.controller.session(tenant=name) for name in ("red", "blue")}


# ---- virtual services and their addresses --------------------------------------------------


def service(**more):
    return {"services": [{"port": 80}], **more}


def test_a_virtual_service_gets_its_profiles(admin):
    admin.make("vsvip", name="shop-vip", vip=[vip("10.1.0.1")])
    admin.make("pool", name="shop-pool", servers=[server("10.0.0.1")])
    vs = admin.make("virtualservice", name="shop", vsvip_ref="/api/vsvip?name=shop-vip",
                    pool_ref="/api/pool?name=shop-pool", **service())
    for field, name in (("application_profile_ref", "System-HTTP"), ("network_profile_ref", "System-TCP-Proxy"),
                        ("analytics_profile_ref", "System-Analytics-Profile"), ("se_group_ref", "Default-Group"),
                        ("vrf_context_ref", "global"), ("vsvip_ref", "shop-vip"), ("pool_ref", "shop-pool")):
        assert vs[field].endswith("#" + name), field
    assert vs["services"][0]["port_range_end"] == 80
    assert "shop" in error(admin.delete("pool/" + admin.find("pool", "shop-pool")["uuid"]), 412)


def test_old_bodies_name_their_profiles(admin):
    pool = admin.make("pool", name="by-name-pool", servers=[server("10.0.0.1")], application_persistence_profile_name="System-Persistence-Client-IP")
    assert pool["application_persistence_profile_ref"].endswith("#System-Persistence-Client-IP")
    body = {"name": "by-name", "pool_ref": pool["url"], "vip": [vip("10.1.0.7")], "application_profile_name": "System-L4-Application",
            "network_profile_name": "System-TCP-Fast-Path", "network_profile_ref": "/api/networkprofile?name=System-TCP-Proxy", **service()}
    vs = admin.make("virtualservice", **body)
    assert vs["application_profile_ref"].endswith("#System-L4-Application") and "application_profile_name" not in vs
    assert vs["network_profile_ref"].endswith("#System-TCP-Proxy")
    assert "ApplicationProfile object not found" in error(admin.post("virtualservice", {**body, "name": "no", "vip": [vip("10.1.0.8")],
                                                                                            "application_profile_name": "nope"}), 400)


def test_what_a_hypervisor_s_manager_saw_is_dropped(admin):
    """Pools that were exported from such a cloud: the servers are what counts."""
    seen = {"nw_ref": "https://10.0.0.9/api/vimgrnwruntime/dvportgroup-97-cloud-1#apps", "vm_ref": "/api/vimgrvmruntime/vm-3", "external_uuid": "vm-3"}
    answer = admin.post("pool", {"name": "exported", "servers": [server("10.0.0.1", **seen)]})
    assert answer.status_code == 201 and answer.json()["servers"][0]["external_uuid"] == "vm-3"
    assert set(answer.headers["X-Spanwire-Ignored"].split(",")) == {"servers[0].nw_ref", "servers[0].vm_ref"}
    assert "not found" in error(admin.post("pool", {"name": "strict", "servers": [server("10.0.0.1", **seen)]},
                                           headers={"X-Spanwire-Strict": "1"}), 400)


def test_a_cluster_has_one_node(admin):
    """Playbooks that make three of them must not believe that they did."""
    one = admin.get("cluster").json()
    nodes = [{"name": f"node{i}", "ip": {"addr": f"10.0.0.{i}", "type": "V4"}} for i in (1, 2, 3)]
    assert "nodes: 3 nodes" in error(admin.put("cluster", {**one, "nodes": nodes}), 400)
    assert "virtual_ip" in error(admin.patch("cluster", {"add": {"virtual_ip": {"addr": "10.0.0.9", "type": "V4"}}}), 400)
    assert admin.put("cluster", {**one, "nodes": nodes[:1]}).status_code == 200


def test_vip_ids_are_given_and_kept(admin):
    made = admin.make("vsvip", name="ids", vip=[vip("10.1.1.1"), vip("fd00::1:1")])
    assert [v["vip_id"] for v in made["vip"]] == ["0", "1"]
    path = f"vsvip/{made['uuid']}"
    text = error(admin.put(path, {"name": "ids", "vip": [vip("10.1.1.1", vip_id="7"), vip("fd00::1:1", vip_id="1")]}), 400)
    assert "Changing an existing VIP's vip_id is not supported" in text and text.startswith("vip[0].vip_id")
    assert admin.put(path, {"name": "ids", "vip": [vip("10.1.1.1", vip_id="0"), vip("10.1.1.2", vip_id="7")]}
                     ).status_code == 200
    answer = admin.patch(path, {"add": {"vip": [vip("10.1.1.3", vip_id="7")]}})
    assert [v["ip_address"]["addr"] for v in answer.json()["vip"]] == ["10.1.1.1", "10.1.1.3"]
    error(admin.put(path, {"name": "ids", "vip": [vip("10.1.1.1", vip_id="0"), vip("10.1.1.2", vip_id="0")]}), 400)
    error(admin.put(path, {"name": "ids", "vip": [vip("10.1.1.1", vip_id="0"), vip("10.1.1.1", vip_id="1")]}), 400)


def test_an_address_belongs_to_one_vsvip(admin):
    admin.make("vsvip", name="owner", vip=[vip("10.1.2.1"), vip("fd00::2:1")])
    text = error(admin.post("vsvip", {"name": "thief", "vip": [vip("10.1.2.9"), vip("10.1.2.1")]}), 400)
    assert "owner" in text and "vip[1].ip_address" in text and "10.1.2.1" in text
    # The same address, written differently.
    assert "owner" in error(admin.post("vsvip", {"name": "thief", "vip": [vip("FD00:0:0::2:1")]}), 400)
    # Another routing domain is another world.
    admin.make("vsvip", name="elsewhere", vip=[vip("10.1.2.1")], vrf_context_ref="/api/vrfcontext?name=management")
    text = error(admin.put("vsvip/" + admin.find("vsvip", "elsewhere")["uuid"],
                           {"name": "elsewhere", "vip": [vip("10.1.2.1", vip_id="0")],
                            "vrf_context_ref": "/api/vrfcontext?name=global"}), 400)
    assert "Cannot modify VrfContext" in text


def test_a_pool_beside_a_group_is_told_that_it_waits_for_nothing(admin):
    pool = admin.make("pool", name="beside")
    group = admin.make("poolgroup", name="before it", members=[{"pool_ref": pool["url"]}])
    answer = admin.post("virtualservice", {"name": "pool and group", "pool_ref": pool["url"], "pool_group_ref": group["url"]})
    assert answer.headers["X-Spanwire-Warning"].startswith("pool_ref: The service has a pool_group_ref as well")


def test_a_gateway_is_of_the_family_of_what_lies_behind_it(admin):
    def route(net, mask, gateway):
        kind = lambda ip: {"addr": ip, "type": "V6" if ":" in ip else "V4"}
        return {"route_id": net, "prefix": {"ip_addr": kind(net), "mask": mask}, "next_hop": kind(gateway)}
    good = [route("10.0.0.0", 8, "10.1.0.1"), route("fd00::", 64, "fd01::1")]
    for bad, words in ((route("10.9.0.0", 16, "fd01::1"), "IPv6 gateway cannot lead to an IPv4"),
                       (route("fd02::", 64, "10.1.0.1"), "IPv4 gateway cannot lead to an IPv6")):
        text = error(admin.post("vrfcontext", {"name": "mixed", "static_routes": good + [bad]}), 400)
        assert text.startswith("static_routes[2].next_hop") and words in text


def test_a_port_belongs_to_one_virtual_service(admin):
    admin.make("vsvip", name="ports", vip=[vip("10.1.3.1")])
    ref = {"vsvip_ref": "/api/vsvip?name=ports"}
    admin.make("virtualservice", name="first", services=[{"port": 80}, {"port": 8000, "port_range_end": 8010}], **ref)
    for services in ([{"port": 80}], [{"port": 8010, "port_range_end": 8020}], [{"port": 1, "port_range_end": 65535}]):
        text = error(admin.post("virtualservice", {"name": "second", "services": services, **ref}), 400)
        assert "first" in text and text.startswith("services[0].port")
    second = admin.make("virtualservice", name="second", services=[{"port": 81}, {"port": 8011}], **ref)
    text = error(admin.patch(f"virtualservice/{second['uuid']}", {"replace": {"services": [{"port": 8005}]}}), 400)
    assert "8005" in text and "first" in text
    error(admin.post("virtualservice", {"name": "third", "services": [{"port": 90}, {"port": 90}], **ref}), 400)


def test_old_bodies_with_their_addresses_inside(admin):
    vs = admin.make("virtualservice", name="old", vip=[vip("10.1.4.1")], **service())
    assert vs["vsvip_ref"].endswith("#vsvip-old") and vs["vip"][0]["ip_address"]["addr"] == "10.1.4.1"
    made = admin.find("vsvip", "vsvip-old")
    assert made["vip"][0]["ip_address"]["addr"] == "10.1.4.1"
    changed = admin.put(f"virtualservice/{vs['uuid']}", {"name": "old", "vip": [vip("10.1.4.2", vip_id="0")], **service()})
    assert changed.status_code == 200, changed.text
    assert admin.find("vsvip", "vsvip-old")["vip"][0]["ip_address"]["addr"] == "10.1.4.2"
    assert admin.get("vsvip?name.contains=old").json()["count"] == 1
    # What a GET showed comes back: nothing of the VsVip changes. It may be edited, and another one takes its place.
    admin.patch(f"vsvip/{made['uuid']}", {"replace": {"vip": [vip("10.1.4.4", vip_id="0")], "bgp_local_preference": 7}})
    back = admin.get(f"virtualservice/{vs['uuid']}?skip_default=true").json()
    assert back["vip"] == [vip("10.1.4.4", vip_id="0")]
    assert admin.put(f"virtualservice/{vs['uuid']}", back).json()["vip"][0]["ip_address"]["addr"] == "10.1.4.4"
    assert admin.find("vsvip", "vsvip-old")["bgp_local_preference"] == 7
    del back["_last_modified"]
    admin.make("vsvip", name="new", vip=[vip("10.1.4.8", vip_id="0")])
    moved = admin.put(f"virtualservice/{vs['uuid']}", {**back, "vsvip_ref": "/api/vsvip?name=new"}).json()
    assert moved["vsvip_ref"].endswith("#new") and "vip" not in moved
    assert admin.put(f"virtualservice/{vs['uuid']}", back).json()["vip"] == [{**made["vip"][0], **vip("10.1.4.4", vip_id="0")}]
    # Older still: one address.
    older = admin.make("virtualservice", name="older", ip_address=vip("10.1.4.3")["ip_address"], **service())
    assert admin.find("vsvip", "vsvip-older")["vip"][0]["ip_address"]["addr"] == "10.1.4.3"
    assert older["vsvip_ref"].endswith("#vsvip-older")
    # Or one to be given, and the same one the next time.
    prefix = {"ip_addr": {"addr": "10.1.44.0", "type": "V4"}, "mask": 24}
    network = admin.make("network", name="older-net", configured_subnets=[{"prefix": prefix, "static_ips": [
        {"addr": f"10.1.44.{n}", "type": "V4"} for n in (7, 8)]}])
    body = {"name": "older-auto", "auto_allocate_ip": "True", "ipam_network_subnet": {"network_ref": network["url"], "subnet": prefix},
            "avi_allocated_vip": False, "vip": [], **service()}
    older = admin.make("virtualservice", **body)
    assert older["vip"][0]["ip_address"]["addr"] == "10.1.44.7" and older["vip"][0]["ipam_network_subnet"]["subnet"] == prefix
    again = admin.put(f"virtualservice/{older['uuid']}", body).json()
    assert again["vip"] == older["vip"] and again["_last_modified"] == older["_last_modified"]
    # One transaction: a virtual service that is refused leaves no VsVip behind.
    error(admin.post("virtualservice", {"name": "old2", "vip": [vip("10.1.4.9")], "services": [{"port": 70000}]}), 400)
    assert admin.find("vsvip", "vsvip-old2") is None
    error(admin.post("virtualservice", {"name": "old3", "vip": [vip("10.1.4.4")], **service()}), 400)
    assert admin.find("virtualservice", "old3") is None


def test_what_was_made_of_an_old_body_goes_with_it(admin):
    body = {"name": "brief", "vip": [vip("10.1.7.1", vip_id="1")], **service()}
    for _ in range(2):
        vs = admin.make("virtualservice", **body)
        path = f"virtualservice/{vs['uuid']}"
        # A PUT without addresses, and one with.
        assert admin.put(path, {"name": "brief", **service()}).status_code == 200
        assert admin.put(path, body).status_code == 200
        assert admin.get("vsvip?name=vsvip-brief").json()["count"] == 1
        assert admin.delete(path).status_code == 204
        assert admin.find("vsvip", "vsvip-brief") is None
    # One that somebody else uses stays, and so does one that a client made.
    first = admin.make("virtualservice", **body)
    other = admin.make("virtualservice", name="other user", vsvip_ref="/api/vsvip?name=vsvip-brief", services=[{"port": 81}])
    assert admin.delete(f"virtualservice/{first['uuid']}").status_code == 204
    assert admin.find("vsvip", "vsvip-brief") is not None
    assert admin.delete(f"virtualservice/{other['uuid']}").status_code == 204
    admin.make("vsvip", name="own", vip=[vip("10.1.7.2")])
    third = admin.make("virtualservice", name="third user", vsvip_ref="/api/vsvip?name=own", **service())
    assert admin.delete(f"virtualservice/{third['uuid']}").status_code == 204
    assert admin.find("vsvip", "own") is not None


@pytest.mark.parametrize("field,ref,words", [
    ("network_profile_ref", "/api/networkprofile?name=System-SCTP-Proxy", "System-SCTP-Proxy"),
    ("application_profile_ref", "/api/applicationprofile?name=System-DNS", "System-DNS")])
def test_a_profile_that_is_not_built_is_refused_in_words(admin, field, ref, words):
    text = error(admin.post("virtualservice", {"name": "unbuilt", "vip": [vip("10.1.5.1")], field: ref, **service()}), 400)
    assert words in text and "not built" in text and text.startswith(field)
    assert admin.find("virtualservice", "unbuilt") is None


def test_a_profile_in_use_stays_built(admin):
    app = admin.make("applicationprofile", name="in use", type="APPLICATION_PROFILE_TYPE_HTTP")
    net = admin.make("networkprofile", name="in use", profile={"type": "PROTOCOL_TYPE_TCP_PROXY"})
    admin.make("virtualservice", name="user of both", application_profile_ref=app["uuid"],
               network_profile_ref=net["uuid"], **service())
    for path, change, field in (
            (f"applicationprofile/{app['uuid']}", {"type": "APPLICATION_PROFILE_TYPE_DNS"}, "type"),
            (f"networkprofile/{net['uuid']}", {"profile": {"type": "PROTOCOL_TYPE_UDP_PROXY"}}, "profile.type")):
        before = admin.get(path).json()
        for answer in (admin.put(path, {"name": "in use", **change}), admin.patch(path, {"replace": change})):
            text = error(answer, 400)
            assert text.startswith(field + ":") and "not built" in text and "user of both" in text
        assert admin.get(path).json() == before


def test_a_policy_names_no_group_whose_members_nobody_knows(admin):
    """Such a group is empty: IS_IN would match nobody, IS_NOT_IN everybody."""
    places = admin.make("ipaddrgroup", name="places", country_codes=["FR"])
    apps = admin.make("ipaddrgroup", name="apps", marathon_app_name="shop")
    known = admin.make("ipaddrgroup", name="known", addrs=[{"addr": "10.9.9.9", "type": "V4"}])

    def policy(group):
        return {"name": "by group", "rules": [{
            "name": "r", "index": 1, "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
            "match": {"client_ip": {"match_criteria": "IS_NOT_IN", "group_refs": [group["url"]]}}}]}
    field = "rules[0].match.client_ip.group_refs[0]:"
    for group in (places, apps):
        text = error(admin.post("networksecuritypolicy", policy(group)), 400)
        assert text.startswith(field) and f"'{group['name']}' cannot be used yet" in text
    made = admin.make("networksecuritypolicy", **policy(known))
    path, group = f"networksecuritypolicy/{made['uuid']}", f"ipaddrgroup/{known['uuid']}"
    assert error(admin.put(path, policy(places)), 400).startswith(field)
    for change in ({"country_codes": ["FR"]}, {"marathon_app_name": "shop"}):
        text = error(admin.patch(group, {"add": change}), 400)
        assert text.startswith(next(iter(change))) and "'by group'" in text
    assert admin.delete(path).status_code == 204
    assert admin.patch(group, {"add": {"country_codes": ["FR"]}}).status_code == 200


def test_udp_says_what_does_not_fit(admin):
    udp = "/api/networkprofile?name=System-UDP-Fast-Path"
    l4 = {"application_profile_ref": "/api/applicationprofile?name=System-L4-Application"}
    text = error(admin.post("virtualservice", {"name": "u", "network_profile_ref": udp, **service()}), 400)
    assert text.startswith("network_profile_ref:") and "'System-HTTP'" in text and "'System-UDP-Fast-Path'" in text
    text = error(admin.post("virtualservice", {"name": "u", **l4, "network_profile_ref":
                                               "/api/networkprofile?name=System-UDP-No-SNAT", **service()}), 400)
    assert text.startswith("network_profile_ref:") and "snat" in text
    text = error(admin.post("virtualservice", {"name": "u", **l4, "network_profile_ref": udp,
                                               "services": [{"port": 443, "enable_ssl": True}]}), 400)
    assert "TLS needs a TCP proxy" in text
    # One port may be TCP and UDP, but not twice the same; whoever has it already is named.
    address = admin.make("vsvip", name="shared by ports", vip=[vip("10.1.5.9")])["uuid"]
    ports = [{"port": 53}, {"port": 50, "port_range_end": 60, "override_network_profile_ref": udp}]
    admin.make("virtualservice", name="both", vsvip_ref=address, services=ports, **l4)
    mine = admin.make("networkprofile", name="another of TCP", profile={"type": "PROTOCOL_TYPE_TCP_PROXY"})["uuid"]
    for taken, words in (
            ([{"port": 80, "port_range_end": 90}, {"port": 85, "override_network_profile_ref": mine}],
             ("services[1]", "TCP 85", "services[0]", "TCP 80-90")),
            ([{"port": 10000, "port_range_end": 15000, "override_network_profile_ref": udp}], ("port_range_end", "4096")),
            ([{"port": 40, "port_range_end": 55}], ("services[0].port", "TCP 40-55", "'both'", "TCP 53")),
            ([{"port": 60, "override_network_profile_ref": udp}], ("UDP 60", "'both'", "UDP 50-60"))):
        text = error(admin.post("virtualservice", {"name": "v", "vsvip_ref": address, "services": taken, **l4}), 400)
        assert all(word in text for word in words), text
    # Its ports are bound by its protocol.
    made = admin.make("networkprofile", name="stays UDP", profile={"type": "PROTOCOL_TYPE_UDP_FAST_PATH"})["uuid"]
    admin.make("virtualservice", name="of it", vsvip_ref=address, services=[{"port": 7}], network_profile_ref=made, **l4)
    text = error(admin.patch(f"networkprofile/{made}", {"replace": {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY"}}}), 400)
    assert text.startswith("profile.type:") and "'of it'" in text


def test_a_monitor_that_is_not_built_is_refused_in_words(admin):
    for name in ("System-SCTP", "System-Xternal-Shell", "System-Xternal-Perl"):
        text = error(admin.post("pool", {"name": "unbuilt", "health_monitor_refs": [f"/api/healthmonitor?name={name}"]}), 400)
        assert name in text and text.startswith("health_monitor_refs[0]")


def test_tls_is_never_served_as_plaintext(admin):
    text = error(admin.post("virtualservice", {"name": "tls", "vip": [vip("10.1.6.1")],
                                               "services": [{"port": 443, "enable_ssl": True}]}), 400)
    assert text.startswith("services[0].enable_ssl")
    admin.make("virtualservice", name="plain", vip=[vip("10.1.6.1")], services=[{"port": 443, "enable_ssl": False}])


def test_a_monitor_waits_less_than_it_asks(admin):
    text = error(admin.post("healthmonitor", {"name": "hm", "type": "HEALTH_MONITOR_TCP", "send_interval": 5,
                                              "receive_timeout": 5}), 400)
    assert text.startswith("receive_timeout")
    admin.make("healthmonitor", name="shortest", type="HEALTH_MONITOR_TCP", send_interval=1, receive_timeout=1)
    made = admin.make("healthmonitor", name="hm", type="HEALTH_MONITOR_TCP", send_interval=5, receive_timeout=4)
    text = error(admin.patch(f"healthmonitor/{made['uuid']}", {"replace": {"send_interval": 3}}), 400)
    assert "receive_timeout" in text
    error(admin.patch(f"healthmonitor/{made['uuid']}", {"replace": {"type": "HEALTH_MONITOR_HTTP"}}), 400)


# ---- tenants --------------------------------------------------------------------------------


def names(session, path):
    return {o["name"] for o in session.get(path + ("&" if "?" in path else "?") + "page_size=200").json()["results"]}


def test_tenants_have_names_of_their_own(admin, tenants):
    for session in (admin, tenants["red"], tenants["blue"]):
        session.make("pool", name="common")
    red = tenants["red"].find("pool", "common")
    assert red["tenant_ref"].endswith("/api/tenant/" + admin.find("tenant", "red")["uuid"])
    assert names(tenants["red"], "pool") == {"common"}
    error(tenants["blue"].get("pool/" + red["uuid"]), 404)
    error(tenants["blue"].delete("pool/" + red["uuid"]), 404)
    error(admin.get("pool/" + red["uuid"]), 404)
    everywhere = admin.get("pool?name=common", headers={"X-Avi-Tenant": "*"}).json()
    assert everywhere["count"] == 3


def test_a_tenant_in_the_body_beats_admin_and_no_other(admin, tenants):
    made = admin.make("pool", name="sent to red", tenant_ref="/api/tenant?name=red")
    assert made["tenant_ref"].endswith("#red")
    assert tenants["red"].find("pool", "sent to red")["uuid"] == made["uuid"]
    assert admin.find("pool", "sent to red") is None
    # What was read in one tenant is posted in another one as it is: tools copy so.
    for field in ("uuid", "url", "_last_modified"):
        made.pop(field)
    for tenant, said in (("blue", True), ("red", False)):
        answer = tenants[tenant].post("pool", {**made, "name": "copied"})
        assert answer.status_code == 201 and answer.json()["tenant_ref"].endswith("#" + tenant)
        assert ("X-Spanwire-Warning" in answer.headers) == said


def test_what_admin_provides_is_seen_by_all(admin, tenants):
    red = tenants["red"]
    assert {"System-HTTP", "System-DNS"} <= names(red, "applicationprofile")
    assert red.find("cloud", "Default-Cloud") and red.find("serviceenginegroup", "Default-Group")
    # And can be referred to, but not changed.
    pool = red.make("pool", name="red pool", health_monitor_refs=["/api/healthmonitor?name=System-TCP"])
    assert pool["health_monitor_refs"][0].endswith("#System-TCP")
    # Exported configurations say their own tenant of it.
    pool = red.make("pool", name="red pool 1", health_monitor_refs=["/api/healthmonitor/?tenant=red&name=System-TCP"])
    assert pool["health_monitor_refs"][0].endswith("#System-TCP")
    assert "not found" in error(red.post("pool", {"name": "no", "health_monitor_refs": ["/api/healthmonitor/?tenant=blue&name=System-TCP"]}), 400)
    # An own one of the same name goes first, and hides the other.
    own = red.make("healthmonitor", name="System-TCP", type="HEALTH_MONITOR_TCP")
    assert red.get("healthmonitor?name=System-TCP").json()["count"] == 1
    pool = red.make("pool", name="red pool 2", health_monitor_refs=["/api/healthmonitor?name=System-TCP"])
    assert own["uuid"] in pool["health_monitor_refs"][0]


def test_references_do_not_cross_tenants(admin, tenants):
    red, blue = tenants["red"], tenants["blue"]
    hm = red.make("healthmonitor", name="red monitor", type="HEALTH_MONITOR_TCP")
    for ref in ("/api/healthmonitor?name=red%20monitor", hm["uuid"], hm["url"],
                "/api/healthmonitor?tenant=red&name=red%20monitor"):
        for session in (blue, admin):
            text = error(session.post("pool", {"name": "crossing", "health_monitor_refs": [ref]}), 400)
            assert "HealthMonitor object not found" in text


def test_a_tenant_in_use_stays(admin, tenants):
    text = error(admin.delete("tenant/" + admin.find("tenant", "red")["uuid"]), 412)
    assert "refer" in text


def test_the_tenant_of_an_object_is_fixed(admin):
    pool = admin.make("pool", name="fixed")
    assert "tenant_ref" in error(admin.put(f"pool/{pool['uuid']}", {"name": "fixed",
                                                                   "tenant_ref": "/api/tenant?name=red"}), 400)


# ---- roles -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(admin, tenants):
    """Users without superuser rights, by role, each in tenant red."""
    out = {}
    for role in ("Application-Admin", "Application-Operator", "Security-Admin", "Tenant-Admin"):
        admin.make("user", name=role.lower(), password="some password",
                   default_tenant_ref="/api/tenant?name=red",
                   access=[{"role_ref": f"/api/role?name={role}", "tenant_ref": "/api/tenant?name=red"}])
        out[role] = admin.controller.session(role.lower(), "some password", tenant="red")
    return out


def test_a_role_may_what_it_says(people):
    operator, owner = people["Application-Operator"], people["Application-Admin"]
    pool = owner.make("pool", name="role pool")
    assert operator.get(f"pool/{pool['uuid']}").status_code == 200
    for method, path, body in (("POST", "pool", {"name": "x"}), ("PUT", f"pool/{pool['uuid']}", {"name": "x"}),
                               ("PATCH", f"pool/{pool['uuid']}", {"replace": {"description": "x"}}), ("DELETE", f"pool/{pool['uuid']}", None)):
        assert "permission" in error(operator.send(method, path, body), 403)
        assert owner.find("pool", "role pool") is not None
    error(people["Security-Admin"].post("pool", {"name": "x"}), 403)
    assert people["Tenant-Admin"].delete(f"pool/{pool['uuid']}").status_code == 204


@pytest.mark.parametrize("role", ["Application-Admin", "Application-Operator", "Security-Admin", "Tenant-Admin"])
def test_nobody_lifts_himself(admin, people, role):
    one = people[role]
    me = admin.find("user", role.lower())
    error(one.patch(f"user/{me['uuid']}", {"replace": {"is_superuser": True}}), 403)
    error(one.post("user", {"name": "evil", "password": "some password", "is_superuser": True}), 403)
    error(one.put("systemconfiguration", {}), 403)
    error(one.post("tenant", {"name": "evil"}), 403)
    group = admin.find("serviceenginegroup", "Default-Group")["uuid"]
    error(one.post(f"serviceenginegroup/{group}/token", {}), 403)
    # useraccount is one's own, and carries no rights.
    assert one.put("useraccount", {"full_name": "x", "is_superuser": True, "access": []}).status_code == 200
    assert admin.get(f"user/{me['uuid']}").json()["is_superuser"] is False
    assert admin.get(f"user/{me['uuid']}").json()["full_name"] == "x"


def test_another_tenant_is_closed(people):
    owner = people["Application-Admin"]
    for tenant in ("admin", "blue"):
        error(owner.get("pool", headers={"X-Avi-Tenant": tenant}), 403)
        error(owner.post("pool", {"name": "x"}, headers={"X-Avi-Tenant": tenant}), 403)
    # Whether there is a tenant `blue` is not told: the same words as for one that there is not.
    for name in ("blue", "nowhere"):
        made = owner.post("pool", {"name": f"not of {name}", "tenant_ref": f"/api/tenant?name={name}"})
        assert made.status_code == 201 and made.json()["tenant_ref"].endswith("#red")
        assert made.headers["X-Spanwire-Warning"] == "tenant_ref: The object is made in red, the tenant of the request."
        assert owner.delete(f"pool/{made.json()['uuid']}").status_code == 204
        assert f"Tenant '{name}' does not exist!" in error(owner.get("pool", headers={"X-Avi-Tenant": name}), 403)
    # `*` shows what one may see, and no more.
    seen = owner.get("pool?page_size=200", headers={"X-Avi-Tenant": "*"}).json()["results"]
    assert seen and {o["tenant_ref"] for o in seen} == {owner.find("pool", "common")["tenant_ref"]}
    error(owner.post("pool", {"name": "x"}, headers={"X-Avi-Tenant": "*"}), 403)


def test_without_a_tenant_header_one_is_at_home(people):
    answer = people["Application-Admin"].get("pool?name=common", headers={"X-Avi-Tenant": None})
    assert answer.json()["count"] == 1


def test_events_are_those_of_the_tenant(admin, people):
    events = people["Application-Admin"].get("analytics/logs?type=2&page_size=1000").json()["results"]
    assert events and {e["tenant_name"] for e in events} == {"red"}


# ---- every kind can be made by a client ------------------------------------------------------

IN = {"match_criteria": "IS_IN"}
BODIES = {
    "applicationpersistenceprofile": {"persistence_type": "PERSISTENCE_TYPE_HTTP_COOKIE",
                                      "http_cookie_persistence_profile": {"cookie_name": "stay", "timeout": 20}},
    "sslprofile": {"accepted_versions": [{"type": "SSL_VERSION_TLS1_2"}], "accepted_ciphers": "AES:3DES:RC4"},
    "pkiprofile": {"crl_check": False, "ca_certs": []},
    "ipaddrgroup": {"prefixes": [{"ip_addr": {"addr": "10.0.0.0", "type": "V4"}, "mask": 8}]},
    "networksecuritypolicy": {"rules": [{
        "name": "no", "index": 1, "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
        "match": {"client_ip": {**IN, "group_refs": ["/api/ipaddrgroup?name=t-ipaddrgroup"]}}}]},
    "stringgroup": {"type": "SG_TYPE_KEYVAL", "kv": [{"key": "a", "value": "b"}]},
    "prioritylabels": {"equivalent_labels": [{"labels": ["10"]}, {"labels": ["5"]}]},
    "poolgroup": {"members": [{"pool_ref": "/api/pool?name=t-pool", "ratio": 2, "priority_label": "10"}],
                  "priority_labels_ref": "/api/prioritylabels?name=t-prioritylabels"},
    "httppolicyset": {"http_request_policy": {"rules": [{
        "name": "r", "index": 1, "enable": True, "match": {"path": {
            "match_criteria": "BEGINS_WITH", "string_group_refs": ["/api/stringgroup?name=t-stringgroup"]}},
        "switching_action": {"action": "HTTP_SWITCHING_SELECT_POOL", "pool_ref": "/api/pool?name=t-pool"}}]}},
    "l4policyset": {"l4_connection_policy": {"rules": [{
        "name": "r", "index": 1, "match": {"port": {**IN, "ports": [80]}},
        "action": {"select_pool": {"action_type": "L4_RULE_ACTION_SELECT_POOL", "pool_ref": "/api/pool?name=t-pool"}}}]}},
    "errorpagebody": {"error_page_body": "<h1>Sorry</h1>"},
    "errorpageprofile": {"error_pages": [{"index": 1, "match": {**IN, "ranges": [{"begin": 500, "end": 599}]},
                                          "error_page_body_ref": "/api/errorpagebody?name=t-errorpagebody"}]},
    "backupconfiguration": {"save_local": True, "backup_passphrase": "open sesame"},
    "scheduler": {"backup_config_ref": "/api/backupconfiguration?name=t-backupconfiguration", "frequency": 1,
                  "frequency_unit": "SCHEDULER_FREQUENCY_UNIT_DAY", "run_mode": "RUN_MODE_PERIODIC"},
    "useraccountprofile": {"max_login_failure_count": 5},
}


def without_secrets(body):
    if isinstance(body, dict):
        return {k: without_secrets(v) for k, v in body.items() if "passphrase" not in k}
    return body


def holds(answer, sent):
    """Everything that was sent is in the answer; references came back as URLs."""
    if isinstance(sent, dict):
        return all(k in answer and holds(answer[k], v) for k, v in sent.items())
    if isinstance(sent, list):
        return len(answer) == len(sent) and all(map(holds, answer, sent))
    if isinstance(sent, str) and "?name=" in sent:
        return answer.endswith("#" + sent.split("=")[1])
    return answer == sent


def test_a_client_makes_one_of_each_kind(admin):
    admin.make("pool", name="t-pool", servers=[server("10.0.0.1")])
    described = admin.get("openapi.json").json()
    uuids = {}

    def is_as_described(kind, answer):
        at = described["paths"][f"/api/{kind}/{{uuid}}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**at, "components": described["components"]}).validate(answer)
    for kind, body in BODIES.items():
        made = admin.make(kind, name=f"t-{kind}", **body)
        is_as_described(kind, made)
        is_as_described(kind, admin.get(f"{kind}/{made['uuid']}", params={"include_name": ""}).json())
        assert holds(made, without_secrets(body)), kind
        assert "open sesame" not in str(made), kind
        again = admin.put(f"{kind}/{made['uuid']}", made)
        assert again.status_code == 200, f"{kind}: {again.text}"
        assert holds(again.json(), without_secrets(body)), kind
        uuids[kind] = made["uuid"]
    # What is referred to stays.
    assert "t-poolgroup" in error(admin.delete("prioritylabels/" + uuids["prioritylabels"]), 412)
    for kind in reversed(BODIES):
        assert admin.delete(f"{kind}/{uuids[kind]}").status_code == 204, kind
    admin.delete("pool/" + admin.find("pool", "t-pool")["uuid"])


def test_who_writes_back_what_he_read_changes_nothing(admin):
    """Each object there is, as it was read in three ways: the same afterwards, and no event about it."""
    subnet = {"prefix": {"ip_addr": {"addr": "10.88.0.0", "type": "V4"}, "mask": 24}}
    old_form = {**subnet, "static_ranges": [{"begin": {"addr": "10.88.0.10", "type": "V4"},
                                             "end": {"addr": "10.88.0.20", "type": "V4"}}]}
    network = admin.make("network", name="s-net", configured_subnets=[old_form])
    made = [network, admin.make("pool", name="t-pool", servers=[server("10.0.0.1"), server("10.0.0.2", port=81)])]
    made += [admin.make(kind, name=f"t-{kind}", **body) for kind, body in BODIES.items()]
    made += [admin.make("vsvip", name="s-vip", vip=[
        vip("10.88.1.1"), {"auto_allocate_ip": True, "ipam_network_subnet": {"network_ref": network["url"]}}])]
    made += [admin.make("virtualservice", name="s-1", vsvip_ref="/api/vsvip?name=s-vip", pool_ref="/api/pool?name=t-pool",
                        services=[{"port": 80}, {"port": 443, "enable_ssl": True}], ssl_key_and_certificate_refs=[
                            "/api/sslkeyandcertificate?name=System-Default-Cert"]),
             admin.make("virtualservice", name="s-2", vip=[vip("10.88.1.2")], **service())]

    def events():
        return admin.get("analytics/logs?type=2&page_size=1").json()["count"]

    kinds = ["analyticsprofile", "applicationpersistenceprofile", "applicationprofile", "backupconfiguration", "cloud", "cluster",
             "controllerproperties", "healthmonitor", "networkprofile", "role", "seproperties", "serviceenginegroup",
             "sslkeyandcertificate", "sslprofile", "stringgroup", "systemconfiguration", "tenant", "user", "useraccountprofile",
             "vrfcontext"]
    paths = [one["url"].split("/api/")[1].split("#")[0] for one in made]
    for kind in kinds:
        found = admin.get(f"{kind}?page_size=200").json()
        paths += [f"{kind}/{one['uuid']}" if "uuid" in one else kind for one in found.get("results", [found])[:3]]
    told = events()
    for n, path in enumerate(paths):
        for how in ("", "?include_name=true", "?skip_default=true")[:3 if n < len(made) else 1]:
            before = admin.get(path + how).json()
            answer = admin.put(path, before)
            assert answer.status_code == 200, f"{path}: {answer.text}"
            assert answer.json()["_last_modified"] == before["_last_modified"], path
    assert events() == told
    # The same with another value is a change.
    pool = admin.get(f"pool/{made[1]['uuid']}").json()
    admin.put(f"pool/{pool['uuid']}", {**pool, "default_server_port": 8080})
    assert admin.get(f"pool/{pool['uuid']}").json()["_last_modified"] > pool["_last_modified"]
    for one in reversed(made):
        path = one["url"].split("/api/")[1].split("#")[0]
        assert admin.delete(path).status_code == 204, path


def test_what_cannot_work_is_said(admin):
    """Accepted, since it may become right by the next edit, but not in silence."""
    def said(kind, **body):
        answer = admin.post(kind, {"name": "w", **body})
        assert answer.status_code == 201, answer.text
        admin.delete(f"{kind}/{answer.json()['uuid']}")
        return answer.headers.get("X-Spanwire-Warning", "")

    admin.make("pool", name="w-pool", servers=[server("10.0.0.1")])
    admin.make("prioritylabels", name="w-labels", equivalent_labels=[{"labels": ["blue", "green"]}])
    member = {"pool_ref": "/api/pool?name=w-pool"}
    assert said("poolgroup", members=[{**member, "priority_label": "7"}]) == ""
    assert said("poolgroup", members=[{**member, "priority_label": "7"}, {**member}]).startswith("members[1].pool_ref: Is that of members[0] already")
    assert said("poolgroup", members=[]) == "members: There is none: nobody answers its clients."
    assert said("poolgroup", members=[{**member, "priority_label": "red"}]).startswith(
        "members[0].priority_label: red is not a number")
    labels = {"priority_labels_ref": "/api/prioritylabels?name=w-labels"}
    assert said("poolgroup", members=[{**member, "priority_label": "green"}], **labels) == ""
    assert "red is none of the labels of 'w-labels'" in said("poolgroup", members=[{**member, "priority_label": "red"}], **labels)
    assert said("pool", servers=[server("10.0.0.1")], min_servers_up=1) == ""
    assert said("pool", servers=[server("10.0.0.1")], min_servers_up=2) == (
        "min_servers_up: More than there are in servers (1): the pool is never up.")
    route = {"prefix": {"ip_addr": {"addr": "10.0.0.0", "type": "V4"}, "mask": 8}, "next_hop": {"addr": "10.1.1.1", "type": "V4"}}
    assert "static_routes[1].prefix: static_routes[0] leads" in said("vrfcontext", static_routes=[
        {**route, "route_id": "1"}, {**route, "route_id": "2"}])
    # What stands in a list twice, of any kind.
    tcp = admin.make("healthmonitor", name="w-tcp", type="HEALTH_MONITOR_TCP")["url"]
    assert said("pool", health_monitor_refs=[tcp, tcp]) == "health_monitor_refs[1]: Is the same as item 0 of the list, and says nothing new."
    here = {"addr": "10.1.1.1", "type": "V4"}
    assert said("vrfcontext", gateway_mon=[{"gateway_ip": here}, {"gateway_ip": here}]).startswith("gateway_mon[1]: Is the same")
    assert said("vrfcontext", gateway_mon=[{"gateway_ip": here}, {"gateway_ip": here, "gateway_monitor_interval": 2000}]) == (
        "gateway_mon[1].gateway_ip: Is that of gateway_mon[0] already: it is watched once, as the last one says.")
    rule = {"name": "r", "index": 1, "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY"}
    assert "rules[0].match.client_ip.addrs[1]: Is the same" in said("networksecuritypolicy", rules=[
        {**rule, "match": {"client_ip": {"match_criteria": "IS_IN", "addrs": [here, here]}}}])
    assert said("networksecuritypolicy", rules=[{**rule, "match": {}}]) == "rules[0].match: Is empty: the rule is about everybody."
    # What is not there, and what is for another type.
    sentences = said("virtualservice").split(". ")
    assert [one.split(":")[0] for one in sentences] == ["services", "vsvip_ref", "pool_ref"]
    assert said("healthmonitor", type="HEALTH_MONITOR_TCP", http_monitor={"http_request": "GET / HTTP/1.0", "http_response_code": ["HTTP_2XX"]}) == (
        "http_monitor: Says nothing here: it is for HEALTH_MONITOR_HTTP, and the type is HEALTH_MONITOR_TCP.")
    assert "profile.udp_fast_path_profile: Says nothing here" in said("networkprofile", profile={
        "type": "PROTOCOL_TYPE_TCP_PROXY", "udp_fast_path_profile": {"session_idle_timeout": 7}})
    assert "No port of the service has enable_ssl" in said("virtualservice", services=[{"port": 80}], vip=[vip("10.88.1.4")],
                                                          pool_ref=member["pool_ref"], ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=System-Default-Cert"])
    # More at least than at most, codes that mean two things, shares and times that are none.
    assert said("serviceenginegroup", min_se=3, max_se=2) == "min_se: Is 3, and max_se is 2: there are never that many."
    assert said("serviceenginegroup", min_scaleout_per_vs=5).startswith("min_scaleout_per_vs: Is 5, and max_scaleout_per_vs is 4")
    assert said("serviceenginegroup", min_se=2, max_se=2) == "" == said("serviceenginegroup", ha_mode="HA_MODE_SHARED")
    for mode in ("HA_MODE_SHARED_PAIR", "HA_MODE_LEGACY_ACTIVE_STANDBY"):
        assert said("serviceenginegroup", ha_mode=mode).startswith(f"ha_mode: {mode} is served as HA_MODE_SHARED: an address has one engine")
    rules = [{"enabled": True, "match": {"match_criteria": "REGEX_MATCH", "match_str": ["^x-", "("]}}]
    assert said("analyticsprofile", sensitive_log_profile={"header_field_rules": rules}) == (
        "sensitive_log_profile.header_field_rules[0].match.match_str[1]: Is no POSIX extended expression: it is not known what fits.")
    codes = {"http_response_code": ["HTTP_2XX", "HTTP_5XX"], "maintenance_code": [404, 503]}
    assert said("healthmonitor", type="HEALTH_MONITOR_HTTP", http_monitor=codes) == (
        "http_monitor.maintenance_code[1]: 503 is one of HTTP_5XX in http_response_code, too: it means maintenance.")
    assert said("healthmonitor", type="HEALTH_MONITOR_HTTP", http_monitor={**codes, "maintenance_code": [404]}) == ""
    assert said("poolgroup", members=[{**member, "ratio": 0}]) == "members: Each has the ratio 0: nobody answers what is new."
    assert said("scheduler") == ("backup_config_ref: There is none: it makes no backups. frequency: There is none: it never runs.")
    assert "start_date_time: There is none" in said("scheduler", run_mode="RUN_MODE_AT")
    assert "never runs" not in said("scheduler", frequency=1, frequency_unit="SCHEDULER_FREQUENCY_UNIT_DAY")
    # An authority's certificate, as many tools make one that has signed itself.
    authority = Identity("authority.example")
    admin.make("sslkeyandcertificate", name="w-cert", certificate={"certificate": authority.certificate}, key=authority.key)
    assert "Certificate 'w-cert' is an authority's (CA:TRUE)" in said(
        "virtualservice", services=[{"port": 443, "enable_ssl": True}], vip=[vip("10.88.1.3")],
        ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=w-cert"])
    for kind, name in (("sslkeyandcertificate", "w-cert"), ("pool", "w-pool"), ("healthmonitor", "w-tcp"), ("prioritylabels", "w-labels")):
        admin.delete(f"{kind}/{admin.find(kind, name)['uuid']}")


DNS = {"name": "w", "type": "HEALTH_MONITOR_DNS"}
REFUSED = [
    ("backupconfiguration", {"backup_file_prefix": "../etc"}, 400, "backup_file_prefix: It has at most 128 letters, digits, '-' and '_'."),
    ("vsvip", {"vip": [vip("10.89.0.1", vip_id="1"), vip("10.89.0.2", vip_id="1")]}, 400, "vip[1]"),
    ("virtualservice", {"services": [{"port": 1000, "port_range_end": 60000}], "network_profile_ref": "/api/networkprofile?name=System-UDP-Fast-Path",
                        "application_profile_ref": "/api/applicationprofile?name=System-L4-Application"}, 400,
     "services[0].port_range_end: A range of UDP ports has at most "),
    ("user", {"username": "admin"}, 409, "username: A user who logs in as 'admin' already exists."),
    ("user", {"access": [{"role_ref": "/api/role?name=w-role&tenant=red", "tenant_ref": "/api/tenant?name=blue"}]}, 400, "access[0].role_ref: "),
    ("healthmonitor", {**DNS, "dns_monitor": {"query_name": "a.example", "record_type": "DNS_RECORD_MX", "response_string": "10.0.0.1"}}, 400,
     "dns_monitor.response_string: Only records of type A and AAAA have an address."),
    ("healthmonitor", {**DNS, "dns_monitor": {"query_name": "a.example", "record_type": "DNS_RECORD_AAAA", "response_string": "10.0.0.1"}}, 400,
     "dns_monitor.response_string: \"10.0.0.1\" is not an IPv6 address."),
    ("healthmonitor", DNS, 400, "dns_monitor: A DNS monitor needs the name to ask for."),
    ("healthmonitor", {"type": "HEALTH_MONITOR_HTTP", "http_monitor": {"http_response_code": ["HTTP_2XX"], "auth_type": "AUTH_BASIC"}}, 400,
     "http_monitor.auth_type: It needs authentication, with username and password."),
    ("networksecuritypolicy", {"rules": [{"name": "r", "index": 1, "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
                                          "match": {"client_port": {"match_criteria": "IS_IN"}}}]}, 400,
     "rules[0].match.client_port.ports: Names no port: set ports or ranges."),
    ("pool", {"health_monitor_refs": ["/api/vsvip/vsvip-1"]}, 400, "health_monitor_refs[0]: This refers to a 'vsvip', but a healthmonitor is wanted here."),
    ("pool", {"cloud_ref": {}}, 400, "cloud_ref: "),
    ("pool", {"fail_action": {"type": "FAIL_ACTION_BACKUP_POOL"}}, 400, "fail_action.backup_pool: "),
    ("virtualservice", {"analytics_policy": {"full_client_logs": {"enabled": True, "throttle": -1}}}, 400, "analytics_policy.full_client_logs.throttle: "),
    ("virtualservice", {"analytics_policy": {"client_log_filters": [{"index": 1, "name": "x"}]}}, 400, "analytics_policy.client_log_filters[0].enabled: "),
]


@pytest.mark.parametrize("kind,body,status,words", REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_makes_no_sense_is_refused_with_its_path(admin, tenants, kind, body, status, words):
    if not admin.find("role", "w-role"):
        assert tenants["red"].post("role", {"name": "w-role", "privileges": []}).status_code in (201, 409)
    text = error(admin.post(kind, {"name": "w-refused", **body}), status)
    assert text.startswith(words), text
    assert admin.find(kind, "w-refused") is None


def test_pools_that_stand_in_for_each_other_come_to_an_end(admin):
    def stands_in(url):
        return {"fail_action": {"type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": url}}}
    last = first = admin.make("pool", name="w-0")
    made = [first]
    for i in range(1, 40):
        answer = admin.post("pool", {"name": f"w-{i}", **stands_in(last["url"])})
        if answer.status_code != 201:
            assert "fail_action.backup_pool.backup_pool_ref: More than " in error(answer, 400)
            break
        last = answer.json()
        made.append(last)
    assert 2 < len(made) < 40
    path = f"pool/{first['uuid']}"
    assert error(admin.patch(path, {"replace": stands_in(made[1]["url"])}), 400).endswith("that pool's backup leads back here.")
    assert error(admin.patch(path, {"replace": stands_in(first["url"])}), 400).endswith("A pool cannot stand in for itself.")
    for pool in reversed(made):
        assert admin.delete(f"pool/{pool['uuid']}").status_code == 204


def test_a_policy_s_groups_hold_addresses(admin):
    names = {"name": "w-names", "addrs": [{"addr": "10.0.0.1", "type": "V4"}, {"addr": "a.example", "type": "DNS"}]}
    made = admin.make("ipaddrgroup", **names)
    policy = {"name": "w-policy", **BODIES["networksecuritypolicy"]}
    policy["rules"] = [{**policy["rules"][0], "match": {"client_ip": {**IN, "group_refs": [made["url"]]}}}]
    text = error(admin.post("networksecuritypolicy", policy), 400)
    assert text == ("rules[0].match.client_ip.group_refs[0]: addrs[1] of the group 'w-names' is a name; a client has an address.")
    path = f"ipaddrgroup/{made['uuid']}"
    assert admin.put(path, {**names, "addrs": names["addrs"][:1]}).status_code == 200
    policy = admin.make("networksecuritypolicy", **policy)
    text = error(admin.put(path, names), 400)
    assert text.startswith("addrs[1].type: A client has an address") and "w-policy" in text
    assert admin.delete(f"networksecuritypolicy/{policy['uuid']}").status_code == 204
    assert admin.delete(path).status_code == 204


def test_a_persistence_cookie_has_a_secret_that_stays(admin):
    """Whoever gives no key gets one, never sees it, and keeps it through a PUT that does not name it."""
    body = {"name": "t-cookie", "persistence_type": "PERSISTENCE_TYPE_HTTP_COOKIE"}
    made = admin.make("applicationpersistenceprofile", **body)
    key = made["http_cookie_persistence_profile"]["key"]
    assert [k["name"] for k in key] == ["key-1"] and key[0]["aes_key"] == key[0]["hmac_key"] == "<sensitive>"
    again = admin.put("applicationpersistenceprofile/" + made["uuid"], body).json()
    assert again["http_cookie_persistence_profile"]["key"] == key
    own = {**body, "http_cookie_persistence_profile": {"key": [{"name": "mine", "aes_key": "a", "hmac_key": "b"}]}}
    again = admin.put("applicationpersistenceprofile/" + made["uuid"], own).json()
    assert [k["name"] for k in again["http_cookie_persistence_profile"]["key"]] == ["mine"]
    assert admin.delete("applicationpersistenceprofile/" + made["uuid"]).status_code == 204


def test_the_objects_of_a_fresh_controller(admin):
    for kind, names in {
        "applicationpersistenceprofile": "System-Persistence-Client-IP System-Persistence-Http-Cookie "
                                         "System-Persistence-App-Cookie System-Persistence-TLS "
                                         "System-Persistence-Custom-Http-Header",
        "sslprofile": "System-Standard System-Standard-PFS System-Standard-Portal",
        "stringgroup": "System-Compressible-Content-Types System-Cacheable-Resource-Types "
                       "System-Devices-Mobile System-Rewritable-Content-Types",
        "useraccountprofile": "Default-User-Account-Profile No-Lockout-User-Account-Profile",
        "healthmonitor": "System-Xternal-Shell System-Xternal-Perl System-Xternal-Python System-SCTP",
    }.items():
        for name in names.split():
            found = admin.find(kind, name)
            assert found, name
            assert "Cannot delete system default object" in error(admin.delete(f"{kind}/{found['uuid']}"), 403), name


def test_a_virtual_service_has_one_debug_object(admin):
    vs = admin.make("virtualservice", name="debugged", vip=[vip("10.1.40.1")], **service())
    path = f"debugvirtualservice/{vs['uuid']}"
    mine = admin.get(path).json()
    assert (mine["uuid"], mine["name"]) == (vs["uuid"], "debugged")
    assert mine["debug_hm"] == "DEBUG_VS_HM_NONE" and mine["url"].endswith(path)
    assert admin.find("debugvirtualservice", "debugged")["uuid"] == vs["uuid"]
    # A capture without limits is accepted, and says what ends it; what is no filter is refused.
    assert 'capture_expression: It is no filter expression: "porto" is none of its words' in \
        error(admin.patch(path, {"replace": {"capture": True, "capture_expression": "tcp porto 80"}}), 400)
    begun = admin.patch(path, {"replace": {"capture": True}})
    assert begun.status_code == 200 and "budget" in begun.headers["X-Spanwire-Warning"]
    # While it runs nothing of it can change, and no second one begins.
    second = error(admin.patch(path, {"replace": {"capture_params": {"num_pkts": 10}}}), 412)
    assert "A capture of this virtual service runs" in second and second.startswith("capture_params")
    (capture,) = admin.get("capture").json()["results"]
    assert capture["running"] and capture["virtualservice_ref"].endswith(vs["uuid"])
    assert "runs: end it first" in error(admin.delete(f"capture/{capture['uuid']}"), 412)
    mine = admin.get(path).json()
    assert admin.put(path, {**mine, "capture": False}).status_code == 200
    # What is set stays, under the name of its virtual service.
    kept = admin.patch(path, {"add": {"capture_params": {"num_pkts": 10}}})
    assert kept.json()["capture_params"]["num_pkts"] == 10 and kept.json()["capture_params"]["pkt_size"] == 128
    stale = admin.put(path, mine)
    assert "Concurrent update" in error(stale, 412)
    assert admin.put(f"virtualservice/{vs['uuid']}", {**vs, "name": "renamed"}).status_code == 200
    assert admin.get(path).json()["name"] == "renamed"
    assert admin.get(path).json()["capture_params"]["num_pkts"] == 10
    # A name of its own is not for it; making one neither.
    assert admin.patch(path, {"replace": {"name": "other"}}).json()["name"] == "renamed"
    error(admin.post("debugvirtualservice", {"name": "new"}), 405)
    error(admin.get("debugvirtualservice/virtualservice-nope"), 404)
    # Deleting it brings its defaults back; it goes with its virtual service, and no other takes its name.
    assert admin.delete(path).status_code == 204 and admin.delete(path).status_code == 204
    assert "capture_params" not in admin.get(path).json()
    admin.patch(path, {"add": {"debug_hm": "DEBUG_VS_HM_ONLY"}})
    assert admin.delete(f"virtualservice/{vs['uuid']}").status_code == 204
    error(admin.get(path), 404)
    assert not admin.find("debugvirtualservice", "renamed")


def test_debug_objects_are_stored_only_when_they_say_something(admin):
    services = [admin.make("virtualservice", name=f"quiet-{i}", vip=[vip(f"10.1.41.{i + 1}")], **service()) for i in range(3)]
    assert {v["name"] for v in admin.get("debugvirtualservice?name.contains=quiet&sort=name").json()["results"]} == \
        {"quiet-0", "quiet-1", "quiet-2"}
    vs, path = services[0], f"debugvirtualservice/{services[0]['uuid']}"
    # One that is not stored has the stamp of its virtual service.
    assert admin.get(path).json()["_last_modified"] == vs["_last_modified"]
    assert admin.patch(path, {"add": {"resync_flows": True}}).json()["_last_modified"] > vs["_last_modified"]
    back = admin.put(path, {**admin.get(path).json(), "resync_flows": False}).json()
    assert back["_last_modified"] == vs["_last_modified"]
    for v in services:
        admin.delete(f"virtualservice/{v['uuid']}")
