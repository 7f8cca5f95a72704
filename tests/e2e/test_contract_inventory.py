"""Inventories: an object, its runtime and its health in one call."""

import pytest

from contract import error, server, vip

KINDS = {"poolgroup-inventory": "poolgroup", "virtualservice-inventory": "virtualservice", "pool-inventory": "pool", "serviceengine-inventory": "serviceengine",
         "serviceenginegroup-inventory": "serviceenginegroup", "vsvip-inventory": "vsvip", "network-inventory": "network",
         "cloud-inventory": "cloud"}


@pytest.fixture(scope="module")
def shop(admin):
    admin.make("vsvip", name="inv-vip", vip=[vip("10.3.0.1")])
    admin.make("network", name="inv-net")
    for name in ("inv-one", "inv-two"):
        admin.make("pool", name=name, servers=[server("10.0.0.1"), server("10.0.0.2", enabled=False)])
    return admin.make("virtualservice", name="inv-shop", services=[{"port": 80}], vsvip_ref="/api/vsvip?name=inv-vip",
                      pool_ref="/api/pool?name=inv-one")


def test_every_inventory_is_the_list_of_its_kind(controller, admin, shop):
    for path, kind in KINDS.items():
        rows, objects = admin.get(path).json(), admin.get(kind).json()
        assert rows["count"] == objects["count"] == len(rows["results"]), path
        for row, one in zip(rows["results"], objects["results"]):
            more = {**one, "vip": row["config"]["vip"]} if kind == "virtualservice" else one
            assert row["config"] == more and row["uuid"] == one["uuid"]
            assert row["url"] == f"{controller.url}/api/{path}/{one['uuid']}"
            assert admin.get(f"{path}/{row['uuid']}").json().keys() == row.keys()
            assert row["alert"] == {"high": 0, "medium": 0, "low": 0}
        error(admin.get(f"{path}/nope"), 404)
        assert "Method 'POST' not allowed" in error(admin.post(path, {}), 405)
    error(admin.get("nosuch-inventory"), 404)


def test_a_row_of_each_kind(admin, shop):
    row = admin.get(f"virtualservice-inventory/{shop['uuid']}?include_name").json()
    assert row["config"]["pool_ref"].endswith("#inv-one")
    pool = admin.find("pool", "inv-one")
    assert row["pools"] == [{"ref": pool["url"] + "#inv-one", "uuid": pool["uuid"]}]
    # Who makes lists of services looks for their addresses here.
    assert row["config"]["vip"] == admin.get("vsvip?name=inv-vip").json()["results"][0]["vip"]
    # No engine is there to carry it, and that is what the row says.
    assert row["runtime"]["oper_status"]["state"] == "OPER_RESOURCES"
    assert row["runtime"]["vip_summary"][0]["vip_id"] == "0"
    assert row["health_score"]["is_null_data"] is True
    assert row["faults"][0]["description"].startswith("No service engine can carry it")
    pool = admin.get("pool-inventory?name=inv-one&include_name").json()["results"][0]
    assert pool["config"]["tenant_ref"].endswith("#admin")
    assert pool["runtime"]["num_servers"] == 2 and pool["runtime"]["num_servers_up"] == 0
    assert pool["virtualservices"] == [{"ref": shop["url"], "uuid": shop["uuid"]}] and pool["faults"] == []
    assert admin.get("vsvip-inventory?name=inv-vip").json()["results"][0]["virtualservices"] == [
        {"ref": shop["url"].split("#")[0], "uuid": shop["uuid"]}]
    cloud, = admin.get("cloud-inventory?name=Default-Cloud").json()["results"]
    assert cloud["config"]["vtype"] == "CLOUD_NONE"
    # As Terraform waits for a cloud.
    assert admin.get(f"cloud-inventory?uuid={cloud['uuid']}").json()["results"][0]["status"]["state"] == "CLOUD_STATE_PLACEMENT_READY"


def test_what_services_stand_on(controller, admin, shop):
    subnet = {"prefix": {"ip_addr": {"addr": "10.3.9.0", "type": "V4"}, "mask": 24}, "static_ip_ranges": [
        {"range": {"begin": {"addr": "10.3.9.11", "type": "V4"}, "end": {"addr": "10.3.9.20", "type": "V4"}}}]}
    net = admin.make("network", name="inv-ranges", configured_subnets=[subnet])
    row = admin.get(f"network-inventory/{net['uuid']}").json()
    assert row["runtime"]["subnet_runtime"][0]["total_ip_count"] == 10
    assert row["runtime"]["subnet_runtime"][0]["used_ip_count"] == 0
    assert admin.get(f"network/{net['uuid']}/runtime").json() == row["runtime"]
    group = admin.get("serviceenginegroup-inventory?name=Default-Group").json()["results"][0]
    assert group["runtime"]["num_se"] == 0 and group["runtime"]["oper_status"]["state"] == "OPER_UNUSED"
    assert group["serviceengines"] == []
    cloud = admin.find("cloud", "Default-Cloud")["uuid"]
    for path in ("status", "health", "runtime"):
        assert admin.get(f"cloud/{cloud}/{path}").json()["state"] == "CLOUD_STATE_PLACEMENT_READY"
    pools = admin.make("poolgroup", name="inv-pools", members=[{"pool_ref": "/api/pool?name=inv-one"}, {"pool_ref": "/api/pool?name=inv-two"}])
    row = admin.get(f"poolgroup-inventory/{pools['uuid']}").json()
    assert row["runtime"]["num_servers"] == 4 and row["runtime"]["num_pools"] == 2 and row["runtime"]["num_pools_up"] == 0
    assert admin.get("poolgroupinventory?name=inv-pools").json()["results"][0]["runtime"] == row["runtime"]
    detail = admin.get(f"poolgroup/{pools['uuid']}/runtime/detail").json()
    assert detail[0]["name"] == "inv-pools" and len(detail[0]["members"]) == 2


def test_filters_pages_and_parts(admin, shop):
    assert admin.get("pool-inventory?name.contains=inv-&servers.enabled=false").json()["count"] == 2
    page = admin.get("pool-inventory?name.startswith=inv-&page_size=1&sort=-name&include=runtime").json()
    assert page["count"] == 2 and [r["config"]["name"] for r in page["results"]] == ["inv-two"]
    assert "/api/pool-inventory?page=2" in page["next"]
    assert [r["config"]["name"] for r in admin.get(page["next"]).json()["results"]] == ["inv-one"]
    assert set(page["results"][0]) == {"url", "uuid", "config", "runtime", "virtualservices"}
    row = admin.get("virtualservice-inventory?include=health_score,alert,faults&fields=enabled").json()["results"][0]
    assert set(row) == {"url", "uuid", "config", "health_score", "alert", "faults"} and "services" not in row["config"]
    assert "include: A row has no part 'weather'." == error(admin.get("pool-inventory?include=weather"), 400)
    assert "nope" in error(admin.get("pool-inventory?nope=1"), 400)


def test_tenants_see_their_own(controller, admin, shop):
    admin.make("tenant", name="inv-tenant")
    other = controller.session(tenant="inv-tenant")
    assert other.get("pool-inventory").json()["count"] == 0
    error(other.get(f"virtualservice-inventory/{shop['uuid']}"), 404)
