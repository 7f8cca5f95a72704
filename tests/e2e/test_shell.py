"""The shell against a controller, both on this machine's loopback."""

import json
import os
import re
import shlex
import subprocess

import pytest

from contract import ROOT, Controller
from lab.api import Api
from pki import Identity

PROGRAM = ROOT / "build" / "shell" / "spanwire"



class World(Controller):
    """A controller, and the shell beside it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.home = self.folder / "home"
        self.home.mkdir()
        self.ca = self.data / "ca.pem"
        self.password_file = self.data / "initial-admin-password"

    def spanwire(self, *words, **environment):
        """(exit status, what was printed, what went wrong); trusts the controller's CA."""
        settings = {"SPANWIRE_CONTROLLER": self.url, "SPANWIRE_PASSWORD_FILE": self.password_file,
                    "SPANWIRE_CA": self.ca, "HOME": self.home, "PATH": os.environ["PATH"]}
        settings.update(environment)
        done = subprocess.run([PROGRAM, *words], timeout=120, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              env={k: str(v) for k, v in settings.items() if v is not None})
        return done.returncode, done.stdout, done.stderr

    def shown(self, *words, **environment):
        status, out, wrong = self.spanwire(*words, **environment)
        assert (status, wrong) == (0, "")
        return out

    def refused(self, *words, **environment):
        status, out, wrong = self.spanwire(*words, **environment)
        assert out == ""
        return status, wrong


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("shell")).start()
    try:
        w.api = Api(w.url, "admin", w.password)
        w.api.post("pool", {"name": "web", "servers": [
            {"ip": {"addr": f"10.0.0.{n}", "type": "V4"}, "port": 8000 + n} for n in (5, 6)]})
        w.api.post("vsvip", {"name": "shop-vip", "vip": [
            {"vip_id": "1", "ip_address": {"addr": "10.1.0.1", "type": "V4"}}]})
        w.api.post("virtualservice", {"name": "shop", "services": [{"port": 80}], "enabled": False,
                                      "vsvip_ref": "/api/vsvip?name=shop-vip", "pool_ref": "/api/pool?name=web"})
        yield w
    finally:
        w.stop()


def rows(text):
    """A table without gaps in its cells, as dictionaries."""
    lines = [line.split() for line in text.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def test_lists_kinds(world):
    kinds = [line.split()[0] for line in world.shown("show").splitlines()[1:]]
    model = world.api.get("model")
    assert kinds == [k["kind"] for k in model["kinds"] if not k.get("runtime")]
    assert {"virtualservice", "pool", "cluster"} <= set(kinds)


def test_lists_objects_with_what_tells_them_apart(world):
    shop = world.api.find("virtualservice", "shop")
    row, = rows(world.shown("show", "virtualservice"))
    assert row["NAME"] == "shop" and row["UUID"] == shop["uuid"]
    assert row["ENABLED"] == "false" and row["SERVICES"] == "80"
    assert row["POOL_REF"] == "web" and row["VSVIP_REF"] == "shop-vip"
    assert "10.0.0.5:8005, 10.0.0.6:8006" in world.shown("show", "pool")
    assert rows(world.shown("show", "vsvip"))[0]["VIP"] == "10.1.0.1"


def test_a_kind_may_be_shortened_or_spelled_as_in_the_contract(world):
    whole = world.shown("show", "virtualservice")
    for word in ("VirtualService", "virt", "virtual-service", "VIRTUAL_SERVICE"):
        assert world.shown("show", word) == whole
    status, wrong = world.refused("show", "s")
    assert status == 2 and "serviceengine, " in wrong and "could be any of" in wrong
    status, wrong = world.refused("show", "teapot")
    assert status == 2 and "There is no kind 'teapot'" in wrong


def test_shows_one_object_by_name_or_uuid(world):
    shop = world.api.find("virtualservice", "shop")
    by_name = world.shown("show", "virtualservice", "shop")
    assert by_name == world.shown("show", "virtualservice", shop["uuid"])
    fields = dict(line.split(None, 1) for line in by_name.split("\n\n")[0].splitlines())
    assert fields["pool_ref"].strip() == "web" and fields["enabled"].strip() == "false"
    assert "traffic_enabled" not in by_name
    assert "traffic_enabled" in world.shown("--all", "show", "virtualservice", "shop")


def test_json_is_what_the_controller_answers(world):
    assert json.loads(world.shown("--json", "show", "pool", "web")) == \
        world.api.get("pool", name="web", include_name="")["results"][0]
    names = [p["name"] for p in json.loads(world.shown("--json", "show", "healthmonitor"))]
    assert names == [p["name"] for p in world.api.all("healthmonitor")]


def test_lists_are_whole(world):
    there = [*(f"net-0{n:03}" for n in range(230)), "net-1"]
    for name in there:
        world.api.post("network", {"name": name})
    assert [row["NAME"] for row in rows(world.shown("show", "network"))] == there
    # TAB shows some of very many, and inserts nothing that only those have.
    offered = world.shown("--candidates", "spanwire show network ne").split()
    assert len(offered) == 201 and os.path.commonprefix(offered) == "net-"
    assert world.shown("--candidates", "spanwire show network net-022").split() == [f"net-022{n}" for n in range(10)]


def test_views(world):
    assert "cluster_state.state" in world.shown("show", "cluster", "runtime")
    assert json.loads(world.shown("--json", "show", "cluster", "runtime"))["cluster_state"]["state"]
    status, wrong = world.refused("show", "virtualservice", "shop", "no/such/view")
    assert status == 1 and "has no view 'no/such/view'; there is: " in wrong and " traffic_clone_stats, " in wrong
    # As far as only one has it, with blanks for slashes, and by its end.
    for words in (("run", "serv"), ("runtime/server",), ("serv",)):
        assert "OPER_STATUS.STATE" in world.shown("show", "pool", "web", *words)
    status, wrong = world.refused("show", "virtualservice", "shop", "t")
    assert status == 2 and "could be any of: tcpstat, traffic_clone_stats." in wrong


def test_refusals_are_the_controllers_words(world):
    assert world.refused("show", "pool", "nope") == (1, "spanwire: There is no pool 'nope'.\n")
    status, wrong = world.refused("--tenant", "nowhere", "show", "pool")
    assert status == 1 and "Tenant 'nowhere' does not exist!" in wrong
    status, wrong = world.refused("show", SPANWIRE_PASSWORD="wrong")
    assert status == 1 and "Invalid credentials" in wrong


def test_it_does_not_trust_just_anybody(world):
    status, wrong = world.refused("show", SPANWIRE_CA=None)
    assert status == 2 and "is not trusted" in wrong
    assert world.shown("--insecure", "show", SPANWIRE_CA=None) == world.shown("show")
    status, wrong = world.refused("show", SPANWIRE_CONTROLLER="https://127.0.0.1:1")
    assert status == 2 and "Cannot reach the controller at https://127.0.0.1:1" in wrong


def test_credentials_from_a_file_that_nobody_else_reads(world):
    path = world.home / ".config" / "spanwire" / "credentials"
    path.parent.mkdir(parents=True)
    path.write_text(f"controller = {world.url}\nuser = admin\npassword = {world.password}\nca = {world.ca}\n")
    nothing = {"SPANWIRE_CONTROLLER": None, "SPANWIRE_PASSWORD_FILE": None, "SPANWIRE_CA": None}
    path.chmod(0o644)
    status, wrong = world.refused("show", **nothing)
    assert status == 2 and "is open to others (mode 0644)" in wrong
    path.chmod(0o600)
    assert world.shown("show", **nothing) == world.shown("show")
    path.unlink()


def test_configure_makes_and_changes(world):
    assert world.shown("configure", "pool", "api", "servers", "10.0.0.7:8080,[fd00::7]:8081", "lb_algorithm",
                       "round_robin", "health_monitor_refs", "System-HTTP") == "pool api was made.\n"
    pool = world.api.find("pool", "api")
    assert [(s["ip"], s["port"]) for s in pool["servers"]] == [
        ({"addr": "10.0.0.7", "type": "V4"}, 8080), ({"addr": "fd00::7", "type": "V6"}, 8081)]
    assert pool["lb_algorithm"] == "LB_ALGORITHM_ROUND_ROBIN"
    monitor = world.api.find("healthmonitor", "System-HTTP")
    assert pool["health_monitor_refs"] == [monitor["url"]]

    assert world.shown("configure", "pool", "api", "servers", "+10.0.0.8", "servers[10.0.0.7:8080].ratio", "3",
                       "servers[[fd00::7]:8081].enabled", "false", "no", "lb_algorithm",
                       "graceful_disable_timeout", "-1") == "pool api was changed.\n"
    pool = world.api.find("pool", "api")
    assert [s["ip"]["addr"] for s in pool["servers"]] == ["10.0.0.7", "fd00::7", "10.0.0.8"]
    assert pool["servers"][0]["ratio"] == 3 and pool["servers"][1]["enabled"] is False
    assert pool["lb_algorithm"] == "LB_ALGORITHM_LEAST_CONNECTIONS" and pool["graceful_disable_timeout"] == -1

    world.shown("configure", "pool", "api", "no", "servers.2", "servers.2.port", "90", "servers.3", "10.0.0.9:91")
    assert [(s["ip"]["addr"], s.get("port")) for s in world.api.find("pool", "api")["servers"]] == [
        ("10.0.0.7", 8080), ("10.0.0.8", 90), ("10.0.0.9", 91)]

    # With blanks for dots, cut short, a boolean alone, and as options.
    world.shown("configure", "pool", "api", "servers", "index", "2", "ratio", "7", "no", "fail_action", "inline_health_monitor",
                "--servers.1.ratio", "4", "default_s", "81", "sni_enabled", "no", "servers", "index", "1", "port",
                "connection_ramp_duration", "3")
    pool = world.api.find("pool", "api")
    assert [s["ratio"] for s in pool["servers"]] == [4, 7, 1] and "port" not in pool["servers"][0]
    assert pool["inline_health_monitor"] and pool["sni_enabled"] and pool["default_server_port"] == 81
    world.shown("configure", "healthmonitor", "api", "type", "http", "http_monitor", "http_request", "GET /x HTTP/1.0",
                "http_monitor", "http_response_code", "2xx")
    assert world.api.find("healthmonitor", "api")["http_monitor"]["http_request"] == "GET /x HTTP/1.0"
    world.shown("delete", "healthmonitor", "api")
    world.shown("configure", "pool", "api", "servers.1.port", "8080")

    # An item by its keys, or by what tables show; what follows is set in it, and only one that is there goes.
    world.shown("configure", "pool", "api", "servers", "ip", "10.0.0.8", "ratio", "9", "enabled", "false")
    world.shown("configure", "pool", "api", "servers", "10.0.0.7:8080", "ratio", "8", "description", "first", "lb_algorithm", "random")
    world.shown("configure", "pool", "api", "servers", "ip", "10.0.0.10", "port", "99", "ratio", "2")
    pool = world.api.find("pool", "api")
    assert [(s["ip"]["addr"], s.get("port"), s["ratio"], s["enabled"], s.get("description")) for s in pool["servers"]] == [
        ("10.0.0.7", 8080, 8, True, "first"), ("10.0.0.8", 90, 9, False, None), ("10.0.0.9", 91, 1, True, None),
        ("10.0.0.10", 99, 2, True, None)]
    assert pool["lb_algorithm"] == "LB_ALGORITHM_RANDOM" and pool["enabled"] and not pool.get("description")
    for words in (("ip", "10.0.0.1"), ("10.0.0.1:80",), ("nobody",)):
        status, wrong = world.refused("configure", "pool", "api", "no", "servers", *words)
        assert status == 2, wrong
    world.shown("configure", "pool", "api", "no", "servers", "ip", "10.0.0.10", "no", "servers", "10.0.0.9:91", "lb_algorithm", "round_robin")
    pool = world.api.find("pool", "api")
    assert [s["ip"]["addr"] for s in pool["servers"]] == ["10.0.0.7", "10.0.0.8"] and pool["lb_algorithm"].endswith("ROUND_ROBIN")
    world.shown("configure", "pool", "api", "servers", "10.0.0.7:8080")
    assert [s["ip"]["addr"] for s in world.api.find("pool", "api")["servers"]] == ["10.0.0.7"], "a list alone is set anew"

    said = json.loads(world.shown("--json", "configure", "vsvip", "api-vip", "vip", "10.1.0.9"))
    assert said["vip"][0]["ip_address"] == {"addr": "10.1.0.9", "type": "V4"} and said["vip"][0]["vip_id"] == "0"
    world.shown("configure", "virtualservice", "api", "services", "80,8443", "services.2.enable_ssl", "false",
                "vsvip_ref", "api-vip", "pool_ref", "api", "enabled", "false")
    assert [s["port"] for s in world.api.find("virtualservice", "api")["services"]] == [80, 8443]
    assert "pool api was deleted" not in world.refused("delete", "pool", "api")[1]

    for kind in ("virtualservice", "vsvip", "pool"):
        name = "api-vip" if kind == "vsvip" else "api"
        assert world.shown("delete", kind, name) == f"{kind} {name} was deleted.\n"
        assert world.api.find(kind, name) is None


def test_configure_of_what_there_is_only_one(world):
    world.shown("configure", "controllerproperties", "-", "api_idle_timeout", "20")
    assert world.api.get("controllerproperties")["api_idle_timeout"] == 20
    world.shown("configure", "controllerproperties", "api_idle_timeout", "21", "max_pcap_per_tenant", "5")
    assert world.api.get("controllerproperties")["api_idle_timeout"] == 21
    world.shown("configure", "controllerproperties", "no", "max_pcap_per_tenant")
    world.shown("configure", "controllerproperties", "-", "no", "api_idle_timeout")
    assert world.api.get("controllerproperties")["api_idle_timeout"] == 15


def test_configure_takes_files_and_json_and_says_what_is_wrong(world):
    text = world.home / "text"
    text.write_text("of two\nlines")
    world.shown("configure", "pool", "worded", "description", f"@{text}", "servers",
                '[{"ip": {"addr": "10.0.0.1", "type": "V4"}}]')
    pool = world.api.find("pool", "worded")
    assert pool["description"] == "of two\nlines" and pool["servers"][0]["ip"]["addr"] == "10.0.0.1"
    refusals = {
        ("enabled", "maybe"): "enabled: 'maybe' is not true or false",
        ("lb_algorithm", "best"): "lb_algorithm: 'best' is none of: LB_ALGORITHM_LEAST_CONNECTIONS, ",
        ("lb_algorithm", "least"): "'least' could be any of: LB_ALGORITHM_LEAST_CONNECTIONS, LB_ALGORITHM_LEAST_LOAD",
        ("default_server_port", "http"): "default_server_port: 'http' is not a whole number",
        ("default_server_port", "70000"): "default_server_port: ",
        ("algorithm", "x"): "There is no such field in Pool; there is: lb_algorithm, ",
        ("servers.port", "80"): "servers: It is a list: name an item",
        ("servers.9", "10.0.0.1"): "servers: It has 1 item, and no number 9",
        ("servers[10.0.0.2].port", "80"): "servers: It has no item '10.0.0.2'",
        ("fail_action", "close"): "fail_action: It has members of its own",
        ("health_monitor_refs", "nobody"): "object not found",
        ("name",): "name: It is given no value",
        ("description", "@/nowhere"): "description: /nowhere cannot be read: No such file",
    }
    for words, sentence in refusals.items():
        status, wrong = world.refused("configure", "pool", "worded", *words)
        assert status in (1, 2) and sentence in wrong, words
    assert world.api.find("pool", "worded")["_last_modified"] == pool["_last_modified"]
    world.shown("delete", "pool", "worded")
    assert world.refused("delete", "pool", "worded") == (1, "spanwire: There is no pool 'worded'.\n")


def test_configure_warns_of_what_has_no_effect(world):
    model = world.api.get("model")
    inert = next(f["name"] for f in model["messages"]["Pool"]["fields"]
                 if f.get("inert") and f["type"] == "string" and not f.get("list"))
    status, out, wrong = world.spanwire("configure", "pool", "quiet", inert, "x")
    assert status == 0 and wrong == f"spanwire: stored, but without effect yet: {inert}\n"
    world.shown("delete", "pool", "quiet")


def test_what_the_manual_has_in_one_line_runs(world):
    text = (ROOT / "docs/shell.md").read_text()
    blocks = re.findall(r"^## (?:One line|Changing things)\n+```\n(.*?)^```", text, re.M | re.S)
    lines = [shlex.split(line.split("  ")[0]) for block in blocks for line in block.splitlines()]
    assert len(lines) > 12 and all(line[0] == "spanwire" for line in lines)
    shop = Identity("shop")
    files = {"@shop.pem": shop.certificate, "@shop.key": shop.key}
    for name, content in files.items():
        (world.home / name[1:]).write_text(content)
    for line in lines:
        words = [f"@{world.home / word[1:]}" if word in files else word for word in line[1:]]
        status, _, wrong = world.spanwire(*words)
        # Nothing is copied here, and the pool is in use.
        expected = {"clone test shop": "no clone profile", "delete pool web": "refer"}.get(" ".join(words))
        assert (status == 1 and expected in wrong) if expected else (status, wrong) == (0, ""), (words, wrong)
    world.api.put(f"pool/{world.api.find('pool', 'web')['uuid']}", {"name": "web", "servers": [
        {"ip": {"addr": f"10.0.0.{n}", "type": "V4"}, "port": 8000 + n} for n in (5, 6)]})


def test_names_of_all_kinds(world):
    for name in ("back\\slash", ".", "..", "a/../b", "p%41?x=1#y&z", "it's \"it\""):
        assert world.refused("show", "pool", name) == (1, f"spanwire: There is no pool '{name}'.\n")
        assert world.shown("configure", "pool", name, "description", name) == f"pool {name} was made.\n"
        assert world.shown("configure", "pool", name, "enabled", "false") == f"pool {name} was changed.\n"
        assert json.loads(world.shown("show", "pool", name, "--json"))["description"] == name
        assert world.shown("delete", "pool", name) == f"pool {name} was deleted.\n"


def test_usage(world):
    assert world.shown("--version").startswith("spanwire ")
    assert "SPANWIRE_PASSWORD_FILE" in world.shown("--help")
    assert world.shown() == "", "no terminal: lines are read, and here there is none"
    assert world.refused("destroy")[0] == 2
    assert world.refused("help", "destroy") == (2, "spanwire: There is no command 'destroy': `help` lists them.\n")
    assert world.refused("delete", "pool", "a", "b")[0] == 2
