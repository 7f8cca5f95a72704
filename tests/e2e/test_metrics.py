"""What was counted in former steps: GET and POST /api/analytics/metrics."""

import datetime
import os
import secrets
import time

import pytest

from contract import error
from lab.api import Api
from lab.host import until
from link_world import Controller, Engine, target

TOLD = ["l7_client.sum_total_requests", "l7_client.sum_resp_2xx", "l7_client.sum_resp_4xx", "l7_client.sum_resp_5xx", "l7_client.sum_get_reqs",
        "l7_client.sum_post_reqs", "l4_client.sum_rx_bytes", "l4_client.sum_tx_bytes", "l4_client.max_open_conns",
        "l7_server.sum_total_requests", "l4_server.sum_tx_bytes", "l7_client.avg_client_txn_latency", "l4_client.avg_total_rtt",
        "l4_server.avg_total_rtt", "l7_client.avg_application_response_time"]


def series(api, kind, uuid, ids, **more):
    """{metric: header and data} of one object."""
    answer = api.get(f"analytics/metrics/{kind}/{uuid}/", **{"metric_id": ",".join(ids), "step": 5, "limit": 60, **more})
    assert [s["header"]["name"] for s in answer["series"]] == list(ids)
    return {s["header"]["name"]: s for s in answer["series"]}


def sums(api, kind, uuid, ids, **more):
    return {name: s["header"]["statistics"]["sum"] for name, s in series(api, kind, uuid, ids, **more).items()}


def test_what_clients_did_is_told_when_the_step_is_over(lab):
    """Requests whose number is known; the engine dies in the middle, and nothing is lost, twice or negative."""
    web, client, engine = lab.server(), lab.client(), lab.engine(workers=2)
    vs = lab.virtual_service([web], clone=lab.clone_profile([lab.sensor()])).wait_up().wait_servers_up(1)
    # What an engine that nobody knew says first is where it stands: only what comes after it counts.
    until(lambda: engine.runtime()["stats"], "the engine was heard")
    bytes_of = 0
    for _ in range(20):
        bytes_of += len(client.get(vs.url + "files/16384").content)
    assert bytes_of == 20 * 16384
    for _ in range(5):
        assert client.get(vs.url + "nothing-here", headers={"X-Long": "x" * 1000}).status_code == 404
    assert client.request("POST", vs.url).status_code in (200, 404, 405, 501)

    def counted(ids=TOLD, **least):
        """What is in steps that are over, when it is so much. A request counts when it begins, its answer and bytes when they come."""
        got = sums(lab.api, "virtualservice", vs.uuid, ids)
        return got if all(got[f"l7_client.sum_{name}"] >= n for name, n in least.items()) else None
    got = until(lambda: (now := counted(total_requests=26, post_reqs=1)) and now["l4_client.sum_rx_bytes"] > 5000 and
                now["l7_client.sum_resp_2xx"] + now["l7_client.sum_resp_4xx"] + now["l7_client.sum_resp_5xx"] == 26 and now,
                "all of it is told")
    assert got["l7_client.sum_total_requests"] == got["l7_server.sum_total_requests"] == 26
    assert got["l7_client.sum_get_reqs"] == 25 and got["l7_client.sum_post_reqs"] == 1
    assert 5 <= got["l7_client.sum_resp_4xx"] and got["l7_client.sum_resp_5xx"] <= 1 and 20 <= got["l7_client.sum_resp_2xx"] <= 21
    assert 5000 < got["l4_client.sum_rx_bytes"] < 15000 and bytes_of < got["l4_client.sum_tx_bytes"] < bytes_of + 26 * 700
    assert 5000 < got["l4_server.sum_tx_bytes"] < 20000
    seen = series(lab.api, "virtualservice", vs.uuid, TOLD, detailed_header="true")
    for name, unit, least, most in (("l4_client.max_open_conns", "METRIC_COUNT", 1, 3),
                                    ("l7_client.avg_client_txn_latency", "MILLISECONDS", 0.01, 5000),
                                    ("l7_client.avg_application_response_time", "MILLISECONDS", 0, 5000),
                                    ("l4_client.avg_total_rtt", "MILLISECONDS", 0.001, 5000),
                                    ("l4_server.avg_total_rtt", "MILLISECONDS", 0.001, 5000)):
        header = seen[name]["header"]
        assert header["units"] == unit and header["metric_description"].endswith(".") and header["tenant_uuid"] == "admin"
        assert least <= header["statistics"]["max"] <= most, (name, header)
    # The pool, and its server alone; from the virtual service as well.
    for kind, uuid, more in (("pool", vs.pool_uuid, {}), ("pool", vs.pool_uuid, {"obj_id": f"{web.ip4}:80"}),
                             ("virtualservice", vs.uuid, {"pool_uuid": vs.pool_uuid, "obj_id": f"{web.ip4}:80"}),
                             ("virtualservice", vs.uuid, {"serviceengine_uuid": engine.uuid})):
        one = series(lab.api, kind, uuid, ["l7_server.sum_total_requests"], **more)["l7_server.sum_total_requests"]
        assert one["header"]["statistics"]["sum"] == 26 and one["header"].get("obj_id") == more.get("obj_id")
    assert sums(lab.api, "pool", vs.pool_uuid, ["l7_server.sum_total_requests"], obj_id="10.9.9.9:1") == {
        "l7_server.sum_total_requests": 0}
    # The engine and its machine.
    of_machine = ["se_stats.avg_cpu_usage", "se_stats.avg_mem_usage", "se_stats.avg_disk1_usage", "se_stats.max_num_vs", "se_if.avg_rx_bytes"]
    machine = until(lambda: (now := series(lab.api, "serviceengine", engine.uuid, of_machine)) and  # it looks every few seconds
                    now["se_stats.avg_cpu_usage"]["header"]["statistics"]["max"] and now, "it has looked at its machine twice")
    for name, least, most in (("avg_cpu_usage", 0.01, 100), ("avg_mem_usage", 1, 100), ("avg_disk1_usage", 0, 100), ("max_num_vs", 1, 1)):
        assert least <= machine[f"se_stats.{name}"]["header"]["statistics"]["max"] <= most, name
    assert machine["se_if.avg_rx_bytes"]["header"]["statistics"]["max"] > 0
    # What counters of usage ask, without knowing the controller's name: the engines' processors.
    has = lab.api.get(f"serviceengine/{engine.uuid}")["resources"]
    assert has["num_vcpus"] == len(os.sched_getaffinity(0)) and has["memory"] > 100 and has["disk"] >= 0
    assert lab.api.get("licenseusage")["num_se_vcpus"] == has["num_vcpus"]
    group = lab.api.find("serviceenginegroup", "Default-Group")["uuid"]
    for more in ({"metric_id": "controller_stats.avg_num_service_cores"}, {"metric_id": "segroup_stats.avg_license_usage", "obj_id": group}):
        until(lambda: lab.api.get("analytics/metrics/controller", step=5, **more)["results"][0]
              ["series"][0]["header"]["statistics"]["max"] == has["num_vcpus"], f"its processors are counted: {more}")
    # What is seen at once, in a table and in the rows of an inventory.
    rows = {r["metric_id"]: r for r in lab.api.get(f"virtualservice/{vs.uuid}/metrics")["metrics"]}
    assert rows["l4_client.avg_bandwidth"]["units"] == "BITS_PER_SECOND"
    row = lab.api.get(f"virtualservice-inventory/{vs.uuid}", include="metrics")
    assert set(row["metrics"]) == set(rows) and "metrics" not in lab.api.get(f"virtualservice-inventory/{vs.uuid}")
    # A new life of the engine counts from zero.
    engine.kill()
    engine.begin().wait_connected()
    vs.wait_up()
    tries = []
    until(lambda: tries.append(1) or client.fresh_get(vs.url).ok, "it serves again")
    for _ in range(9):
        client.fresh_get(vs.url)
    total = until(lambda: counted(["l7_client.sum_total_requests"], total_requests=36), "those of its new life as well")
    assert 36 <= total["l7_client.sum_total_requests"] <= 35 + len(tries)
    # What was copied since ever is what the books of copies say, and was never less than before.
    def copied():
        return series(lab.api, "virtualservice", vs.uuid, ["clone.total_sent_pkts"])["clone.total_sent_pkts"]
    until(lambda: 100 < vs.clone_sum("sent") == copied()["header"]["statistics"]["last_sample"], "all copies are in steps that are over")
    totals = [p["value"] for p in copied()["data"] if not p.get("is_null")]
    assert totals == sorted(totals)
    values = series(lab.api, "virtualservice", vs.uuid, ["l4_client.avg_tx_bytes"])["l4_client.avg_tx_bytes"]["data"]
    assert all(0 <= p["value"] < 250000 for p in values)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A controller, and two engines that carry the same service and say what we like."""
    controller = Controller(tmp_path_factory.mktemp("metrics"))
    engines = [Engine(controller, f"se-{n}", controller.folder).enrol(controller.token()).up().run() for n in (1, 2)]
    bulks = [e.bulk() for e in engines]
    vs = controller.service(1)

    def say(n, **members):
        bulks[n].do(lambda: bulks[n].say("stats", time_us=1, **members))

    def serve(n, requests, **more):
        say(n, services={vs["uuid"]: {"http_requests": requests, "http_2xx": requests, "conn_total": requests, "conn_open": 3, **more}},
            servers={target(vs["pool_ref"]): {"10.0.1.9:80": {"http_requests": requests, "conn_total": 1, "conn_open": 1}}},
            engine={"cpu_busy_ms": requests, "cpu_idle_ms": requests * 3, "memory_permille": 400, "disk_permille": 100})
    for n in (0, 1):
        serve(n, 100)
    for n in (0, 1):
        serve(n, 110 + 20 * n)
    controller.vs, controller.say, controller.serve, controller.engines = vs, say, serve, engines
    until(lambda: sums(controller.api, "virtualservice", vs["uuid"], ["l7_client.sum_total_requests"])[
        "l7_client.sum_total_requests"] == 40, "what both said is in a step")
    yield controller
    for one in bulks + engines:
        one.halt()
    controller.end()


def test_two_engines_are_added_up_and_told_apart(spoken):
    api, vs = spoken.api, spoken.vs
    for n, requests in ((0, 10), (1, 30)):
        uuid = spoken.engines[n].uuid
        one = series(api, "virtualservice", vs["uuid"], ["l7_client.sum_total_requests"], serviceengine_uuid=uuid, include_name="true")
        header = one["l7_client.sum_total_requests"]["header"]
        assert header["statistics"]["sum"] == requests and header["serviceengine_ref"].endswith(f"/{uuid}#se-{n + 1}")
    levels = series(api, "virtualservice", vs["uuid"], ["l4_client.max_open_conns"])["l4_client.max_open_conns"]
    assert levels["header"]["statistics"]["max"] == 6
    cpu = series(api, "serviceengine", spoken.engines[1].uuid, ["se_stats.avg_cpu_usage", "se_stats.avg_mem_usage"])
    assert cpu["se_stats.avg_cpu_usage"]["header"]["statistics"]["max"] == 25
    assert cpu["se_stats.avg_mem_usage"]["header"]["statistics"]["max"] == 40


def test_steps_are_told_as_clients_ask_for_them(spoken):
    api, vs = spoken.api, spoken.vs
    path = f"analytics/metrics/virtualservice/{vs['uuid']}"
    answer = api.get(path, metric_id="l7_client.avg_total_requests", step=5, limit=4)
    assert {answer["entity_uuid"], answer["metric_entity"], answer["step"], answer["limit"]} == {
        vs["uuid"], "VSERVER_METRICS_ENTITY", 5, 4}
    data = answer["series"][0]["data"]
    times = [datetime.datetime.fromisoformat(p["timestamp"]).timestamp() for p in data]
    assert [b - a for a, b in zip(times, times[1:])] == [5, 5, 5] and times[0] % 5 == 0
    assert datetime.datetime.fromisoformat(answer["stop"]).timestamp() == times[-1] + 5 <= time.time()
    # Before the controller began nobody counted.
    old = api.get(path, metric_id="l7_client.avg_total_requests", step=300, limit=3, stop="2024-05-01T12:00:00.000000Z")["series"][0]
    assert [p["is_null"] for p in old["data"]] == [True] * 3 and old["data"][2]["timestamp"] == "2024-05-01T11:55:00+00:00"
    assert old["header"]["missing_intervals"] == [{"start": "2024-05-01T11:45:00+00:00", "stop": "2024-05-01T12:00:00+00:00"}]
    bare = api.get(path, metric_id="l7_client.avg_total_requests", step=300, start="2024-05-01T11:00:00.000000Z",
                   stop="2024-05-01T12:00:00.000000Z", pad_missing_data="false", include_statistics="false")["series"][0]
    assert "data" not in bare and "statistics" not in bare["header"]
    for step in (3600, 86400):
        assert len(api.get(path, metric_id="l4_client.avg_bandwidth", step=step, limit=2)["series"][0]["data"]) == 2
    # What nobody counts here is left out, and named.
    answer = api.send("GET", path, params={"metric_id": ["l4_client.avg_dos_attacks,l4_client.avg_bandwidth", "dns_client.avg_udp_queries"]})
    assert [s["header"]["name"] for s in answer.json()["series"]] == ["l4_client.avg_bandwidth"]
    assert "l4_client.avg_dos_attacks, dns_client.avg_udp_queries" in answer.headers["X-Spanwire-Warning"]
    own = api.get("analytics/metrics/controller/controller", step=5, metric_id="controller_stats.avg_mem_usage")
    assert own["metric_entity"] == "CONTROLLER_METRICS_ENTITY" and own["series"][0]["header"]["units"] == "PERCENT"
    known = api.get("analytics/metric_id", entity_type="serviceengine")["results"]
    assert {m["entity_type"] for m in known} == {"serviceengine"} and "se_stats.avg_cpu_usage" in {m["name"] for m in known}
    assert api.get("analytics/metric_id")["count"] > len(known) + 50
    assert {"/api/analytics/metrics/collection", "/api/analytics/metric_id"} <= api.get("/openapi.json")["paths"].keys()


def test_many_questions_at_once(spoken):
    """As the SDKs and exporters ask: `*`, lists, with and without an id, with words of the URL as the defaults."""
    api, vs, pool = spoken.api, spoken.vs, target(spoken.vs["pool_ref"])

    def collect(*requests, query=""):
        return api.post(f"analytics/metrics/collection{query}", {"metric_requests": list(requests)})["series"]
    ids = "l4_client.avg_bandwidth,l7_server.avg_total_requests"
    every = collect({"step": 5, "limit": 1, "id": "allvs", "entity_uuid": "*", "metric_id": ids}, query="?pad_missing_data=false&include_name=true")
    assert [s["header"]["name"] for s in every["allvs"][vs["uuid"]]] == ids.split(",")
    bare = collect({"Step": 5, "step": 5, "limit": 1, "entity_uuid": "*", "metric_entity": "VSERVER_METRICS_ENTITY",
                    "metric_id": "l4_client.avg_bandwidth"},
                   {"step": 5, "limit": 1, "entity_uuid": "*", "metric_entity": "VSERVER_METRICS_ENTITY",
                    "metric_id": "l4_client.avg_rx_bytes"},
                   {"step": 5, "limit": 1, "entity_uuid": "*", "metric_entity": "SE_METRICS_ENTITY", "metric_id": "se_stats.avg_cpu_usage"},
                   {"step": 5, "limit": 1, "entity_uuid": "*", "metric_entity": "CONTROLLER_METRICS_ENTITY",
                    "metric_id": "controller_stats.avg_cpu_usage"})
    assert [s["header"]["name"] for s in bare[vs["uuid"]]] == ["l4_client.avg_bandwidth", "l4_client.avg_rx_bytes"]
    assert all(isinstance(s["data"][-1]["value"], (int, float)) for of in bare.values() for s in of)
    assert {e.uuid for e in spoken.engines} <= bare.keys() and len(bare) == 4
    some = collect({"id": "a", "entity_uuid": f"{vs['uuid']},{pool},pool-nobody", "metric_id": "l7_server.sum_total_requests", "step": 5, "limit": 60})
    assert {uuid: of[0]["header"]["statistics"]["sum"] for uuid, of in some["a"].items()} == {vs["uuid"]: 40, pool: 40}
    servers = collect({"id": "a", "entity_uuid": vs["uuid"], "metric_entity": "VM_METRICS_ENTITY", "obj_id": "*", "step": 5, "limit": 60,
                       "metric_id": "l7_server.sum_total_requests"})["a"][vs["uuid"]]
    assert [(s["header"]["obj_id"], s["header"]["pool_uuid"], s["header"]["statistics"]["sum"]) for s in servers] == [
        ("10.0.1.9:80", pool, 40)]
    # As those ask who count usage.
    whole = api.get("analytics/metrics/virtualservice", metric_id="l4_client.avg_bandwidth")
    assert whole["count"] == 1 and whole["results"][0]["entity_uuid"] == vs["uuid"]
    assert whole["results"][0]["series"][0]["header"]["statistics"]["mean"] >= 0


@pytest.mark.parametrize("words,path,text", [
    ({"metric_id": "l4_client.nonsense"}, "metric_id", "no metric 'l4_client.nonsense'"), ({}, "metric_id", "Which metrics?"),
    ({"metric_id": "l4_client.avg_bandwidth", "step": "60"}, "step", "not of 60"),
    ({"metric_id": "l4_client.avg_bandwidth", "step": "x"}, "step", "is not a number"),
    ({"metric_id": "l4_client.avg_bandwidth", "limit": "0"}, "limit", "from 1 to 10000"),
    ({"metric_id": "l4_client.avg_bandwidth", "start": "yesterday"}, "start", "is not a time"),
    ({"metric_id": "l4_client.avg_bandwidth", "dimensions": "country"}, "dimensions", "not told apart by country"),
    ({"metric_id": "l4_client.avg_bandwidth", "aggregate_entity": "true"}, "aggregate_entity", "not added up"),
    ({"metric_id": "l4_client.avg_bandwidth", "order_by": "-x"}, "order_by", "in the order of metric_id"),
    ({"metric_id": "l4_client.avg_bandwidth", "metric_entity": "TENANT_METRICS_ENTITY"}, "metric_entity", "has no metrics"),
    ({"metric_id": ",".join(["l4_client.avg_bandwidth"] * 50), "limit": "10000"}, "limit", "ask for fewer"),
])
def test_what_cannot_be_answered_is_refused_in_words(spoken, words, path, text):
    said = error(spoken.api.send("GET", f"analytics/metrics/virtualservice/{spoken.vs['uuid']}", params=words), 400)
    assert said.startswith(f"{path}: ") and text in said
    body = {"metric_requests": [{"entity_uuid": "*", "metric_id": "l4_client.avg_bandwidth"}, {"entity_uuid": spoken.vs["uuid"], **words}]}
    said = error(spoken.api.send("POST", "analytics/metrics/collection", json=body), 400)
    assert said.startswith(f"metric_requests[1].{path}: ") and text in said


def test_other_ways_to_ask_wrongly(spoken):
    api, uuid = spoken.api, spoken.vs["uuid"]
    assert "not found" in error(api.send("GET", "analytics/metrics/virtualservice/nobody?metric_id=l4_client.avg_bandwidth"), 404)
    assert "have no metrics" in error(api.send("GET", f"analytics/metrics/tenant/{uuid}?metric_id=l4_client.avg_bandwidth"), 404)
    for body in ({}, {"metric_requests": []}, {"metric_requests": [5]}, {"metric_requests": "x"}, {"metric_requests": [{}]},
                 {"metric_requests": [{"metric_id": "l4_client.avg_bandwidth"}]}, []):
        assert "metric_requests" in error(api.send("POST", "analytics/metrics/collection", json=body), 400)
    # Whatever stands where a word should.
    for value in (None, [], {}, [[["x"]]], 1.5, "\x00"):
        answer = api.send("POST", "analytics/metrics/collection", json={"metric_requests": [
            {"entity_uuid": value, "metric_id": value, "step": value, "limit": value, "obj_id": value, "id": value}]})
        assert answer.status_code == 400


def test_metrics_are_for_who_may_read_the_thing(spoken):
    """Another tenant sees nothing of it, whether by name, by `*` or at all; a role that may not read services is refused."""
    api, vs, pool = spoken.api, spoken.vs, target(spoken.vs["pool_ref"])
    api.post("tenant", {"name": "blue"})
    password = secrets.token_hex(8)
    rights = {"nothing": ["PERMISSION_STRINGGROUP"], "services": ["PERMISSION_VIRTUALSERVICE"], "pools": ["PERMISSION_POOL"]}
    for name, resources in rights.items():
        api.post("role", {"name": name, "privileges": [{"resource": r, "type": "READ_ACCESS"} for r in resources]})
        api.post("user", {"name": name, "password": password, "access": [
            {"role_ref": f"/api/role?name={name}", "tenant_ref": f"/api/tenant?name={t}"} for t in ("admin", "blue")]})

    path, ids = "analytics/metrics", "l4_client.avg_bandwidth,l7_server.avg_total_requests"
    everything = {"metric_requests": [{"id": "a", "entity_uuid": "*", "metric_id": ids}]}
    named = {"metric_requests": [{"id": "a", "entity_uuid": f"{vs['uuid']},{pool}", "metric_id": ids}]}
    for name in rights:
        user = Api(api.url, name, password)
        user.login()
        assert user.send("GET", f"{path}/virtualservice/{vs['uuid']}?metric_id={ids}").status_code == (200 if name == "services" else 403)
        assert user.send("GET", f"{path}/pool/{pool}?metric_id={ids}").status_code == (200 if name == "pools" else 403)
        assert user.send("GET", f"{path}/controller/controller?metric_id=controller_stats.avg_cpu_usage").status_code == 403
        assert user.send("POST", f"{path}/collection", json=everything).status_code == (200 if name == "services" else 403)
        assert user.post(f"{path}/collection", named)["series"]["a"].keys() == {"services": {vs["uuid"]}, "pools": {pool}}.get(name, set())
        assert user.send("GET", "analytics/metric_id").status_code == 200
        blue = {"X-Avi-Tenant": "blue"}
        for kind, uuid in (("virtualservice", vs["uuid"]), ("pool", pool)):
            assert user.send("GET", f"{path}/{kind}/{uuid}?metric_id={ids}", headers=blue).status_code == 404
        assert user.send("POST", f"{path}/collection", json=named, headers=blue).json()["series"] == {"a": {}}
    # Who may not read pools learns nothing of them by the services.
    services = Api(api.url, "services", password)
    hidden = series(services, "virtualservice", vs["uuid"], ["l7_server.sum_total_requests"])["l7_server.sum_total_requests"]["data"]
    assert all(p["is_null"] for p in hidden)


def test_the_memory_for_it_is_what_the_operator_says(spoken):
    api = spoken.api
    assert api.get("controllerproperties")["metrics_memory_mb"] == 96
    assert api.patch("controllerproperties", replace={"metrics_memory_mb": 8})["metrics_memory_mb"] == 8
    assert "metrics_memory_mb" in error(api.send("PATCH", "controllerproperties", json={"replace": {"metrics_memory_mb": 0}}), 400)
