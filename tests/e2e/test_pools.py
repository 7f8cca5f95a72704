"""What a pool does with clients, seen from both ends: an engine by itself, real servers, real clients."""

import collections
import http.server
import pathlib
import shutil
import signal
import threading

import pytest

from headless import Headless
from lab import ApiError
from lab.host import until


def serve(lab, n: int, pool: dict, more: dict | None = None, workers: int = 3, app: str = "HTTP"):
    web = [lab.server() for _ in range(n)]
    client = lab.client()
    engine = Headless(lab, workers).serve(lab.pool_body(web), app=app, pool=pool, others=more)
    until(lambda: client.curl("-s", "-o", "/dev/null", "-w", "%{http_code}", engine.url) == "200", "it answers")
    return engine, client, web


def profile(kind: str, **fields) -> tuple[dict, dict]:
    """What the pool says, and the object."""
    ref = "/api/applicationpersistenceprofile/ap-1"
    return ({"application_persistence_profile_ref": ref},
            {"applicationpersistenceprofile/ap-1": {"persistence_type": f"PERSISTENCE_TYPE_{kind}", **fields}})


KEY = [{"name": "k", "aes_key": "0123", "hmac_key": "4567"}]


def test_a_cookie_leads_to_the_same_server_whichever_worker_and_after_a_restart(lab):
    pool, more = profile("HTTP_COOKIE", http_cookie_persistence_profile={"cookie_name": "shop", "key": KEY})
    engine, client, web = serve(lab, 3, pool, more)
    jar = lab.dir / "jar"
    first = client.curl("-s", "-c", jar, engine.url).strip()
    assert web[0].ip4 not in jar.read_text(), "the cookie tells an address"
    # Each curl is a connection of its own, to whichever worker.
    assert {client.curl("-s", "-b", jar, engine.url).strip() for _ in range(15)} == {first}
    assert len({client.curl("-s", engine.url).strip() for _ in range(15)}) == 3
    engine.stop()
    engine.serve(lab.pool_body(web), app="HTTP", pool=pool, others=more)
    until(lambda: client.curl("-s", "-o", "/dev/null", "-w", "%{http_code}", engine.url) == "200", "it is back")
    assert {client.curl("-s", "-b", jar, engine.url).strip() for _ in range(5)} == {first}


@pytest.mark.parametrize("app", ["HTTP", "L4"])
def test_a_client_stays_with_its_server_whichever_worker(lab, app):
    pool, more = profile("CLIENT_IP_ADDRESS", ip_persistence_profile={"ip_persistent_timeout": 1})
    engine, client, web = serve(lab, 3, pool, more, app=app)
    other = lab.client()
    mine = {client.curl("-s", engine.url).strip() for _ in range(12)}
    its = {other.curl("-s", engine.url).strip() for _ in range(12)}
    assert len(mine) == len(its) == 1 and mine != its, (mine, its)


def test_consistent_hash_moves_only_the_keys_of_the_server_that_left(lab):
    engine, client, web = serve(lab, 4, {
        "lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH", "lb_algorithm_hash": "LB_ALGORITHM_CONSISTENT_HASH_URI"})

    def owners() -> dict[int, str]:
        words = [f"{engine.url}?{i}" for i in range(40)]
        return dict(enumerate(client.curl("-s", *words).split()))

    before = owners()
    assert owners() == before and len(set(before.values())) == 4, before
    gone = web[1].name
    web[1].stop()
    after = owners()
    assert gone not in after.values()
    assert {k: v for k, v in after.items() if before[k] != gone} == {k: v for k, v in before.items() if v != gone}


@pytest.mark.parametrize("algorithm", [
    "LEAST_CONNECTIONS", "ROUND_ROBIN", "FASTEST_RESPONSE", "LEAST_LOAD", "RANDOM", "CORE_AFFINITY"])
def test_every_algorithm_uses_every_server(lab, algorithm):
    engine, client, web = serve(lab, 3, {"lb_algorithm": f"LB_ALGORITHM_{algorithm}"}, workers=2)
    seen: collections.Counter = collections.Counter()
    # A server whose first answer the machine held up is asked less for a while by who goes by the time of answers.
    most = 400 if algorithm == "FASTEST_RESPONSE" else 40
    while len(seen) < 3 and seen.total() < most:
        seen[client.curl("-s", engine.url).strip()] += 1
    assert len(seen) == 3, seen


class NameServer:
    """dnsmasq on a host of the lab, the only name server that the engine's host knows."""

    def __init__(self, lab, engine):
        self.host, self.hosts = lab.server(), lab.dir / "hosts"
        self.etc = pathlib.Path("/etc/netns") / engine.ns
        self.etc.mkdir(parents=True)
        (self.etc / "resolv.conf").write_text(f"nameserver {self.host.ip4}\n")
        self.hosts.write_text("")
        self.process = None

    def __enter__(self) -> "NameServer":
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.etc)

    def start(self) -> None:
        self.process = self.host.start("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--local=/test/",
                                       "--pid-file=", f"--addn-hosts={self.hosts}", "--local-ttl=1", "--conf-file=",
                                       log="dnsmasq")

    def say(self, name: str, *servers) -> None:
        self.hosts.write_text("".join(f"{a} {name}\n" for s in servers for a in (s if isinstance(s, list) else [s.ip4])))
        if self.process:
            self.process.signal(signal.SIGHUP)


def test_servers_by_name_follow_their_name_server(lab):
    web = [lab.server() for _ in range(3)]
    client = lab.client()
    engine = Headless(lab, 2)
    with NameServer(lab, engine) as names:
        names.say("web.test", web[0], web[1])
        names.start()
        engine.serve([{"ip": {"addr": "web.test", "type": "DNS"}, "port": 80}])

        def seen() -> set:
            return {client.fresh_get(engine.url).text.strip() for _ in range(6)}

        until(lambda: seen() == {"web1", "web2"}, "both addresses serve")
        names.say("web.test", web[1], web[2], [web[0].ip6])
        until(lambda: seen() == {"web1", "web2", "web3"}, "new addresses serve, of both families")
        names.say("web.test", web[2])
        until(lambda: seen() == {"web3"}, "old addresses are gone")
        # Who answers no more changes nothing.
        names.process.stop()
        log = lab.dir / "engine1.log"
        until(lambda: "name_failed" in log.read_text(), "the failure was noticed")
        assert seen() == {"web3"}


def test_members_of_an_address_group_serve(lab):
    web = [lab.server() for _ in range(3)]
    client = lab.client()
    first, second, third = (w.ip4 for w in web)
    group = {"addrs": [{"addr": first, "type": "V4"}],
             "ranges": [{"begin": {"addr": second, "type": "V4"}, "end": {"addr": second, "type": "V4"}}],
             "ip_ports": [{"ip": {"addr": third, "type": "V4"}, "port": 80}]}
    engine = Headless(lab, 1).serve([], pool={"ipaddrgroup_ref": "/api/ipaddrgroup/g-1"},
                                    others={"ipaddrgroup/g-1": group})
    until(lambda: client.curl("-s", "-o", "/dev/null", "-w", "%{http_code}", engine.url) == "200", "it answers")
    assert {client.curl("-s", engine.url).strip() for _ in range(9)} == {"web1", "web2", "web3"}


def test_names_are_asked_of_the_configured_servers(lab):
    """The machine's own resolv.conf knows nobody; systemconfiguration does. The runtime says how it went."""
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    with NameServer(lab, engine) as names:
        names.say("web.test", web)
        names.start()
        named = [{"ip": {"addr": name, "type": "DNS"}, "port": port} for name, port in (("web.test", 80), ("web", 81))]
        vs = lab.virtual_service(pool=named, wait=False)
        api = lab.api
        config = api.get("systemconfiguration")
        config["dns_configuration"] = {"server_list": [{"addr": names.host.ip4, "type": "V4"}]}
        config = api.put("systemconfiguration", config)
        until(lambda: client.curl("-s", "-o", "/dev/null", "-w", "%{http_code}", vs.url) == "200", "the name serves")
        pool = api.get("pool", name=f"{vs.name}-pool")["results"][0]
        said = api.get(f"pool/{pool['uuid']}/runtime/server")
        assert f"web.test is {web.ip4}:" in str(said), said
        # A short name is one of the search domains, in their order.
        assert f"web is {web.ip4}" not in str(said)
        api.put("systemconfiguration", {**config, "dns_configuration": {**config["dns_configuration"], "search_domain": "nowhere.test test"}})
        until(lambda: f"web is {web.ip4}:" in str(api.get(f"pool/{pool['uuid']}/runtime/server")), "the short name has an address")


def test_a_group_serves_from_the_first_label_that_has_a_server_up(lab):
    web = [lab.server() for _ in range(3)]
    client = lab.client()
    monitor = {"type": "HEALTH_MONITOR_TCP", "send_interval": 1, "receive_timeout": 1, "successful_checks": 1,
               "failed_checks": 1}
    group = {"members": [{"pool_ref": f"/api/pool/p-{i}", "ratio": ratio, "priority_label": label}
                         for i, (ratio, label) in enumerate([(1, "10"), (3, "10"), (1, "5")])],
             "fail_action": {"type": "FAIL_ACTION_HTTP_LOCAL_RSP", "local_rsp": {
                 "status_code": "FAIL_HTTP_STATUS_CODE_200",
                 "file": {"content_type": "text/plain", "file_content": "sorry"}}}}
    pools = {f"pool/p-{i}": {"servers": lab.pool_body([w]), "health_monitor_refs": ["/api/healthmonitor/hm-1"]}
             for i, w in enumerate(web)}
    engine = Headless(lab, 1).serve([], app="HTTP", vs={"pool_ref": "", "pool_group_ref": "/api/poolgroup/g-1"},
                                    others={"poolgroup/g-1": group, "healthmonitor/hm-1": monitor, **pools})

    def seen(n: int) -> collections.Counter:
        return collections.Counter(client.fresh_get(engine.url).text.strip() for _ in range(n))

    until(lambda: set(seen(8)) == {"web1", "web2"}, "the first label serves")
    got = seen(80)
    assert set(got) == {"web1", "web2"} and abs(got["web1"] - 20) <= 3, got
    web[0].stop()
    until(lambda: set(seen(4)) == {"web2"}, "the other pool of the label serves")
    web[1].stop()
    until(lambda: set(seen(4)) == {"web3"}, "the next label serves")
    web[2].stop()
    until(lambda: set(seen(2)) == {"sorry"}, "the group's fail action answers")


def test_a_backup_pool_serves_until_a_server_is_up_again(lab):
    web = [lab.server() for _ in range(3)]
    client, api = lab.client(), lab.api
    lab.engine()
    monitor = lab.health_monitor("http", "quick")

    def pool(name, server, fail):
        return api.post("pool", {"name": name, "servers": lab.pool_body([server]), "health_monitor_refs": [monitor],
                                 "fail_action": fail})

    def backup(of):
        return {"type": "FAIL_ACTION_BACKUP_POOL", "backup_pool": {"backup_pool_ref": of["url"]}}

    last = pool("last", web[2], {"type": "FAIL_ACTION_HTTP_LOCAL_RSP", "local_rsp": {
        "status_code": "FAIL_HTTP_STATUS_CODE_200", "file": {"content_type": "text/plain", "file_content": "sorry"}}})
    second = pool("second", web[1], backup(last))
    vs = lab.virtual_service(pool=[web[0]], monitor=None)
    first = api.find("pool", f"{vs.name}-pool")
    api.patch(f"pool/{first['uuid']}", replace={"health_monitor_refs": [monitor], "fail_action": backup(second)})

    def serves(what):
        until(lambda: client.fresh_get(vs.url).text.strip() == what, f"{what} serves", 10)

    def stands(state):
        until(lambda: vs.runtime()["oper_status"]["state"] == state, state, 10)

    serves("web1")
    rows = lambda of: api.get(f"pool/{of['uuid']}/runtime/server")["results"]
    until(lambda: all(r["oper_status"]["state"] == "OPER_UP" for of in (second, last) for r in rows(of)), "all are asked")
    for down, heir in zip(web, ("web2", "web3", "sorry")):
        down.fall_sick()
        serves(heir)
        stands("OPER_DOWN" if heir == "sorry" else "OPER_UP")
    web[0].recover()
    serves("web1")
    stands("OPER_UP")
    for of, to, words in ((last, first, "circular"), (second, second, "stand in for itself")):
        with pytest.raises(ApiError, match=words) as refused:
            api.patch(f"pool/{of['uuid']}", replace={"fail_action": backup(to)})
        assert "fail_action.backup_pool.backup_pool_ref" in str(refused.value)
    with pytest.raises(ApiError, match="which pool"):
        api.patch(f"pool/{last['uuid']}", replace={"fail_action": {"type": "FAIL_ACTION_BACKUP_POOL"}})
    # A group has one as well.
    group = api.post("poolgroup", {"name": "g", "members": [{"pool_ref": second["url"]}], "fail_action": backup(first)})
    made = api.get(f"virtualservice/{vs.uuid}")
    del made["pool_ref"]
    api.put(f"virtualservice/{vs.uuid}", {**made, "pool_group_ref": group["url"]})
    serves("web1")
    web[1].recover()
    serves("web2")


class Busy:
    """A server that tells how busy it says it is."""

    def __init__(self, host, tasks):
        self.tasks, busy = tasks, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                if busy.tasks is not None:
                    self.send_header("X-Server-Tasks", str(busy.tasks))
                self.send_header("Content-Length", str(len(host.name)))
                self.end_headers()
                self.wfile.write(host.name.encode())

            def log_message(self, *args):
                pass

        with host.entered():
            self.server = http.server.ThreadingHTTPServer(("", 8080), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_the_server_with_the_fewest_tasks_is_chosen(lab):
    hosts = [lab.server() for _ in range(3)]
    busy = [Busy(host, tasks) for host, tasks in zip(hosts, (900, 100, None))]
    client = lab.client()
    lab.engine(workers=1)
    # It asks more often than the monitor would by itself.
    monitor = lab.health_monitor("http", "slow", send_interval=60)
    vs = lab.virtual_service(pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 8080} for host in hosts], monitor=None,
                             pool_more={"lb_algorithm": "LB_ALGORITHM_FEWEST_TASKS", "fewest_tasks_feedback_delay": 1,
                                        "health_monitor_refs": [monitor], "connection_ramp_duration": 0})

    def seen():
        return {client.fresh_get(vs.url).text for _ in range(6)}

    until(lambda: seen() == {hosts[1].name}, "the quiet one is chosen")
    busy[1].tasks = 901
    until(lambda: seen() == {hosts[0].name} or seen() == {hosts[2].name}, "not the one that is busy now")
    busy[0].tasks, busy[1].tasks = 10, 500
    until(lambda: seen() == {hosts[0].name}, "who told nothing is as busy as the others: more than 10")
    busy[0].tasks, busy[1].tasks = 1000, 900
    busy[2].tasks = "12 or so"
    until(lambda: hosts[0].name not in seen(), "and less than 1000")
    busy[2].tasks = 12
    until(lambda: seen() == {hosts[2].name}, "now it told")
