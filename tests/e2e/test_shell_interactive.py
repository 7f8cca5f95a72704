"""The shell as one sits before it, in a terminal; and its scripts, where there is none."""

import json
import os
import re
import shlex
import signal
import stat
import subprocess

import pytest

from lab.api import Api
from lab.host import until
from pki import Identity
from contract import ROOT
from terminal import Terminal
from test_capture import requests_in
from test_shell import PROGRAM, World


class Desk(World):
    """A controller, and terminals before it."""

    def environment(self, **more):
        settings = {"SPANWIRE_CONTROLLER": self.url, "SPANWIRE_PASSWORD_FILE": self.password_file, "SPANWIRE_CA": self.ca,
                    "HOME": self.home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": None,
                    "SPANWIRE_TENANT": None, "SPANWIRE_USER": None, "SPANWIRE_PASSWORD": None}
        settings.update(more)
        return settings

    def terminal(self, *words, **environment):
        return Terminal([PROGRAM, *words], self.environment(**environment))

    def script(self, text, *words, **environment):
        settings = {k: str(v) for k, v in self.environment(**environment).items() if v is not None}
        done = subprocess.run([PROGRAM, *words], input=text, timeout=60, text=True, capture_output=True, env=settings,
                              check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    d = Desk(tmp_path_factory.mktemp("desk")).start()
    try:
        d.api = Api(d.url, "admin", d.password)
        d.api.post("pool", {"name": "web", "servers": [
            {"ip": {"addr": f"10.0.0.{n}", "type": "V4"}, "port": 8000 + n} for n in (5, 6)]})
        d.api.post("vsvip", {"name": "shop-vip", "vip": [
            {"vip_id": "1", "ip_address": {"addr": "10.1.0.1", "type": "V4"}}]})
        for port, name in enumerate(("vs_name", "Test-VS"), 80):
            d.api.post("virtualservice", {"name": name, "services": [{"port": port}], "enabled": False,
                                          "vsvip_ref": "/api/vsvip?name=shop-vip", "pool_ref": "/api/pool?name=web"})
        d.api.post("pool", {"name": "web shop"})
        yield d
    finally:
        d.stop()


@pytest.fixture
def shell(desk):
    t = desk.terminal()
    t.prompts()
    try:
        yield t
    finally:
        t.close()


def table(lines):
    """{field: value} of a framed table, whatever is said before it."""
    while lines and not lines[0].startswith("+"):
        lines = lines[1:]
    assert re.match(r"^\+(-+\+)+$", lines[0]) and lines[0] == lines[-1] == lines[2], lines
    return {row[0].strip(): row[1].strip() for row in (line[1:-1].split("|") for line in lines[3:-1])}


EXISTING = "Updating an existing object. Currently, the object is:"


def test_a_clone_profile_as_the_manual_types_it(desk, shell):
    assert shell.prompt() == "[admin:controller]: >"
    assert shell.run("configure trafficcloneprofile clone_profile_name") == []
    assert shell.prompt() == "[admin:controller]: trafficcloneprofile>"
    assert shell.run("clone_servers") == ["New object being created"]
    assert shell.prompt() == "[admin:controller]: trafficcloneprofile:clone_servers>"
    assert shell.run("ip_address 10.10.10.10") == []
    assert shell.run("subnet 10.10.10.0/24") == []
    assert shell.run("save") == []
    assert shell.prompt() == "[admin:controller]: trafficcloneprofile>"
    assert shell.run("preserve_client_ip") == []
    changes = table(shell.run("diff"))
    assert changes.keys() == {"clone_servers[1].ip_address", "clone_servers[1].subnet", "preserve_client_ip"}
    saved = table(shell.run("save"))
    assert saved["ip_address"] == "10.10.10.10" and saved["preserve_client_ip"] == "true"
    assert shell.prompt() == "[admin:controller]: >"
    made = desk.api.find("trafficcloneprofile", "clone_profile_name")
    assert made["preserve_client_ip"] and made["clone_servers"] == [{
        "ip_address": {"addr": "10.10.10.10", "type": "V4"},
        "subnet": {"ip_addr": {"addr": "10.10.10.0", "type": "V4"}, "mask": 24}}]

    entered = shell.run("configure virtualservice vs_name")
    assert entered[0] == EXISTING and table(entered[1:])["pool_ref"] == "web"
    assert shell.prompt() == "[admin:controller]: virtualservice>"
    assert shell.run("traffic_clone_profile_ref clone_profile_name") == []
    assert table(shell.run("save"))["traffic_clone_profile_ref"] == "clone_profile_name"
    assert desk.api.find("virtualservice", "vs_name")["traffic_clone_profile_ref"].endswith(made["uuid"])
    assert shell.run("show virtualservice vs_name traffic_clone_stats") == ["There is nothing."]
    # A line is found again by a part of it.
    shell.key("C-r")
    shell.type("w virtualservice vs")
    shell.sees("bck:")
    shell.key("Enter")
    shell.wait(lambda lines: lines[-2:] == ["There is nothing.", "[admin:controller]: >"] and
               "show virtualservice vs_name traffic_clone_stats" in lines[-3], "the line that was found")


def test_what_is_debugged_as_the_manual_types_it(desk, shell):
    entered = shell.run("debug virtualservice Test-VS")
    assert entered[0] == EXISTING and table(entered[1:])["name"] == "Test-VS"
    assert shell.prompt() == "[admin:controller]: debugvirtualservice>"
    assert shell.run("capture_params num_pkts 1000") == []
    assert shell.run("debug_ip addrs 10.10.10.10") == []
    assert shell.prompt() == "[admin:controller]: debugvirtualservice:debug_ip>"
    # Several, one after the other.
    for line in ("addrs 10.10.10.11", "prefixes 10.2.0.0/16", "ranges 10.3.0.1-10.3.0.9", "save"):
        assert shell.run(line) == []
    # And the forms in which a capture's addresses are written.
    for line in ("debug_ip 10.1.1.1 10.1.1.99", "debug_ip 10.1.1.1-10.1.1.255", "debug_ip 10.1.1.1/24",
                 "debug_hm debug_vs_hm_include", "no debug_ip addrs 10.10.10.11"):
        assert shell.run(line) == []
    said = shell.run("save")
    assert shell.prompt() == "[admin:controller]: >"
    uuid = desk.api.find("virtualservice", "Test-VS")["uuid"]
    debug = desk.api.get(f"debugvirtualservice/{uuid}")
    assert debug["capture_params"]["num_pkts"] == 1000 and debug["debug_hm"] == "DEBUG_VS_HM_INCLUDE"
    ip = debug["debug_ip"]
    assert [a["addr"] for a in ip["addrs"]] == ["10.10.10.10", "10.1.1.1", "10.1.1.99"]
    assert [(p["ip_addr"]["addr"], p["mask"]) for p in ip["prefixes"]] == [("10.2.0.0", 16), ("10.1.1.1", 24)]
    assert [(r["begin"]["addr"], r["end"]["addr"]) for r in ip["ranges"]] == \
        [("10.3.0.1", "10.3.0.9"), ("10.1.1.1", "10.1.1.255")]
    assert table(said)["num_pkts"] == "1000"


def test_a_capture_as_the_manual_types_it(lab, tmp_path):
    web, client = lab.server(), lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=[web], name="shop").wait_servers_up(1)
    c = lab.controller
    t = Terminal(["ip", "netns", "exec", c.ns, lab.program("spanwire")], {
        "SPANWIRE_CONTROLLER": c.url, "SPANWIRE_PASSWORD_FILE": c.password_file, "SPANWIRE_CA": c.data / "ca.pem",
        "HOME": tmp_path, "LC_ALL": "C.UTF-8"})
    try:
        *turns, (_, shows, (_, asks, downloaded)) = dialogues("Captures")
        for prompt, line, answer in turns:
            assert t.prompt() == prompt, line
            said = t.run(line.replace("10.10.10.10", client.eth.ip))
            assert said == answer or (answer == ["..."] and said), line
        assert t.prompt() == "[admin:controller]: >"
        assert t.run("migrate virtualservice shop")[0].startswith("It stays where it is: ")
        until(lambda: len((vs.runtime().get("capture") or {}).get("engines", [])) == 1, "the engine captures")
        assert client.fresh_get(vs.url + "?id=from-the-manual").ok
        told = t.run(shows)
        assert any(re.search(r"\| true +\|", row) for row in told) and {"PACKETS", "DROPS", "SIZE"} <= set(told[1].split()), told
        # More than the thousand packets that end it.
        assert client.fresh_get(f"{vs.url}files/{1 << 20}").ok
        ended = until(lambda: (one := lab.api.get("capture")["results"][0]).get("ended") and one, "the capture is over")
        assert ended["ended_by"] == "packets" and ended["packets"] == 1000
        question, folder = asks.rsplit(" ", 1)
        t.type(shows)
        t.key("Enter")
        t.wait(lambda lines: lines[-1] == question, "question")
        t.type(tmp_path)
        t.key("Enter")
        said, = [line for line in t.sees("Downloaded the attachment to ") if line.startswith("Downloaded")]
        stamp = r"\d{8}_\d{6}"
        assert re.sub(stamp, "", said) == re.sub(stamp, "", downloaded.replace(folder, str(tmp_path)))
        name = said.rsplit("/", 1)[1]
        t.prompts()
        # The other format, named as such.
        for line in ("debug virtualservice shop", "capture_params pcap_ng false", "capture", "save"):
            t.run(line)
        until(lambda: len(lab.api.get("capture")["results"]) == 2, "the second capture")
        for line in ("debug virtualservice shop", "no capture", "save"):
            t.run(line)
        until(lambda: all(c.get("ended") for c in lab.api.get("capture")["results"]), "the capture is over")
        said = t.run(f"show debug virtualservice shop capture {tmp_path}")
        told = t.run("show capture")
        assert {"STARTED", "PACKETS", "SIZE"} <= set(told[1].split()) and any("shop" in row for row in told[3:]), told
        # All of the engine, by the same words.
        for line in ("debug serviceengine engine1", "flags flag debug_pcap_all", "capture", "save", "debug serviceengine engine1", "no capture", "save"):
            t.run(line)
        until(lambda: all(c.get("ended") for c in lab.api.get("capture")["results"]), "the capture is over")
        assert re.fullmatch(rf"Downloaded the attachment to {tmp_path}/se_engine1\.\d{{8}}_\d{{6}}\.pcap",
                            t.run(f"show debug serviceengine engine1 capture {tmp_path}")[-1])
        classic = re.fullmatch(rf"Downloaded the attachment to {tmp_path}/(vs_shop\.\d{{8}}_\d{{6}}(?:_2)?\.pcap)", said[-1])[1]
    finally:
        t.close()
    # As a stream: on the terminal how far it is, in one line that is gone at the end.
    streamed = tmp_path / "streamed.pcapng"
    t = Terminal(["ip", "netns", "exec", c.ns, "sh", "-c", 'exec "$@" >"$0"', streamed, lab.program("spanwire"), "capture", "shop",
                  client.eth.ip, "--seconds", 300, "-w", "-"], {
        "SPANWIRE_CONTROLLER": c.url, "SPANWIRE_PASSWORD_FILE": c.password_file, "SPANWIRE_CA": c.data / "ca.pem",
        "HOME": tmp_path, "LC_ALL": "C.UTF-8"})
    try:
        def far(lines):
            said = re.fullmatch(r"(\d+) packets, (\d+) bytes, 0 dropped, (\d+) s, (\d+) s left", lines[-1] if lines else "")
            return said and [int(n) for n in said.groups()]
        begun = far(t.wait(far, "line of progress"))
        until(lambda: len((vs.runtime().get("capture") or {}).get("engines", [])) == 1, "the engine captures")
        assert client.fresh_get(vs.url + "?id=in-the-stream").ok
        # Bytes are those of the file, which is written behind what is counted.
        lines = t.wait(lambda lines: far(lines) and far(lines)[0] >= 10 and far(lines)[1] > begun[1] and far(lines)[2] > begun[2],
                       "packets, bytes and time")
        packets, _, _, left = far(lines)
        assert left < begun[3] and len(lines) == 1
        t.key("C-c")
        assert t.exit_status() == 0
        said, = [line for line in t.screen()[:-1] if line]
        ended = re.fullmatch(r"(\d+) packets, (\d+) bytes, 0 dropped; ended by: stopped", said)
        assert int(ended[1]) >= packets and int(ended[2]) == streamed.stat().st_size
    finally:
        t.close()
    assert set(requests_in(streamed)) == {"in-the-stream"}
    assert (tmp_path / classic).read_bytes()[:4] in (b"\x4d\x3c\xb2\xa1", b"\xd4\xc3\xb2\xa1")
    file = tmp_path / name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {legs for legs in requests_in(file)["from-the-manual"]} == {"client leg", "server leg"}


def test_tab_completes_all_that_there_is(desk, shell, tmp_path):
    shell.type("conf")
    shell.key("Tab")
    shell.type("virt")
    shell.key("Tab")
    shell.type("vs_")
    shell.key("Tab")
    shell.sees("> configure virtualservice vs_name")
    shell.key("Enter")
    shell.sees("virtualservice>")
    shell.prompts()
    shell.type("pool_r")
    shell.key("Tab")
    shell.type("web")
    shell.key("Tab", "Tab")
    # Two names begin so; both are offered, and the one with a blank is typed with quotes.
    shell.sees("web shop")
    shell.type(" s")
    shell.key("C-u")
    shell.type("traffic_e")
    shell.key("Tab")
    shell.type("f")
    shell.key("Tab")
    shell.sees("virtualservice> traffic_enabled false")
    shell.key("Enter")
    shell.run("abort")
    shell.run("configure pool web")
    shell.type("lb_algorithm lb_algorithm_rou")
    shell.key("Tab")
    shell.sees("lb_algorithm LB_ALGORITHM_ROUND_ROBIN")
    shell.key("C-c")
    shell.type("servers index ")
    shell.key("?")
    shell.sees("10.0.0.5:8005")
    shell.key("C-c")
    shell.run("abort")
    shell.type("delete pool \"web s")
    shell.key("Tab")
    shell.sees('delete pool "web shop"')
    shell.key("C-c")
    shell.type("show virtualservice vs_name traf")
    shell.key("Tab")
    shell.sees("vs_name traffic_clone_stats")
    shell.key("C-c")
    # A view in parts, and files of this machine.
    shell.type("show pool web run")
    shell.key("Tab")
    shell.type(" serv")
    shell.key("Tab")
    shell.type(" h")
    shell.key("Tab")
    shell.sees("web runtime server hmonstat")
    shell.key("C-c")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/the-file").touch()
    for before in ("import configuration ", "configure pool web description @"):
        shell.type(f"{before}{tmp_path}/fol")
        shell.key("Tab")
        shell.type("th")
        shell.key("Tab")
        shell.sees(f"{before}{tmp_path}/folder/the-file")
        shell.key("C-c")


def test_a_question_mark_helps_anywhere(shell):
    shell.key("?")
    lines = shell.sees("switchto")
    assert any(re.match(r" +migrate +An action", line) for line in lines)
    shell.run("configure healthmonitor probe")
    shell.type("receive_timeout ?")
    field, = [line for line in shell.sees("default 4") if line.startswith("receive_timeout: ")]
    assert "int32, 1 to 2400 SEC, default 4. " in field
    shell.key("C-c")
    shell.type("type ")
    shell.key("?")
    shell.sees("HEALTH_MONITOR_PING")
    shell.key("C-c")
    # In a text it is a character.
    shell.run('http_monitor http_request "GET /?a=b HTTP/1.0"')
    assert table(shell.run("where"))["http_request"] == "GET /?a=b HTTP/1.0"
    rows = shell.run("show_schema send_interval")
    assert any("1 to 3600 SEC" in row for row in rows)
    shell.run("abort")


def test_items_of_lists_and_levels(desk, shell):
    shell.run("configure pool basket servers 10.0.0.1:80,10.0.0.2:80,10.0.0.3:80")
    assert shell.run("con pool basket")[0] == EXISTING
    entered = shell.run("servers index 2")
    assert entered[0] == EXISTING and table(entered[1:])["ip"] == "10.0.0.2"
    shell.run("ratio 5")
    assert shell.run("exit") == ["Something was set here: `save` keeps it, `cancel` drops it, `diff` shows it."]
    shell.run("back")
    entered = shell.run("servers 10.0.0.3:80")
    assert table(entered[1:])["ip"] == "10.0.0.3"
    shell.run("no enabled")
    shell.run("cancel")
    shell.run("servers ip 10.0.0.1")
    shell.run("description first")
    shell.run("save")
    shell.run("servers")
    shell.run("ip 10.0.0.4 port 81")
    assert shell.run("new") == ["New object being created"]
    shell.run("ip 10.0.0.5")
    shell.run("save")
    shell.run("no servers index 3")
    assert table(shell.run("do show pool web"))["name"] == "web"
    assert shell.run("show pool web") == ["show: It is no field here; `do show` is the command."]
    assert shell.run("servers index 9") == ["servers: It has 4 items, and no number 9."]
    assert shell.run("servers index -1") == ["servers: '-1' is no number: items count from 1."]
    # What the controller refuses points to the field, by the number that is typed.
    shell.run("servers index 4 port 70000")
    refused = " ".join(shell.run("save"))
    assert refused.startswith("servers[3].port: 70000 is out of range") and "servers index 4 port" in refused
    assert shell.prompt() == "[admin:controller]: pool>"
    shell.run("no servers index 4 port")
    shell.run("save")
    servers = desk.api.find("pool", "basket")["servers"]
    assert [(s["ip"]["addr"], s.get("port"), s["ratio"], s.get("description"), s["enabled"]) for s in servers] == [
        ("10.0.0.1", 80, 1, "first", True), ("10.0.0.2", 80, 5, None, True), ("10.0.0.4", 81, 1, None, True),
        ("10.0.0.5", None, 1, None, True)]
    shell.run("delete pool basket")
    assert desk.api.find("pool", "basket") is None


def test_words_that_operators_bring_along(desk, shell):
    # What is listed, and rows of views, by what they have.
    named = [row.split()[1] for row in shell.run("show virtualservice filter pool_ref web enabled false") if "virtualservice-" in row]
    assert sorted(named) == ["Test-VS", "vs_name"]
    assert shell.run("show virtualservice filter enabled true") == ["There is no such virtualservice."]
    assert [row for row in shell.run("show pool filter lb_algorithm least_conn") if "| web " in row]
    assert shell.run("show pool filter lb_algorithm") == ["Behind filter stand pairs of a field and its value: filter enabled true."]
    rows = "".join(shell.run("show pool web server filter ip_addr 10.0.0.6"))
    assert "10.0.0.6" in rows and "10.0.0.5" not in rows
    assert shell.run("show pool web server filter colour red") == ["colour: No row has such a member."]
    shell.type("show pool filter lb_algorithm LB_ALGORITHM_RO")
    shell.key("Tab")
    shell.sees("show pool filter lb_algorithm LB_ALGORITHM_ROUND_ROBIN")
    shell.key("C-c")
    assert shell.run("show virtualservice vs_name summary")[0][:2] == "+-"
    assert any("num_servers_up" in row for row in shell.run("show pool web detail | inc num_servers_up"))
    assert re.match(r"controller \d", shell.run("show version")[0])
    assert "license" not in "".join(shell.run("show license")) and "journalctl" in shell.run("debug controller")[0]
    assert [row for row in shell.run("show events 5") if "CONFIG" in row or "USER_LOGIN" in row]
    assert shell.run("show logs vs_name") == ["Nothing was asked of it, or its engines have forgotten it."]
    assert shell.run("save") == ["`save` is said inside an object: `configure KIND NAME` opens one."]
    for line in ("terminal mode linux_command_line", "terminal --linux_cmd_output single_line"):
        assert shell.run(line) == []
    assert [row for row in shell.run("show pool") if row.startswith("web ")]
    shell.run("terminal --linux_cmd_output multi_line")
    # Texts of several lines stand behind the line, here and in scripts.
    for line in ("configure pool here --description <<EOF --servers.1.ip 1.1.1.1", "of two", '  "lines" # both'):
        shell.type(line)
        shell.key("Enter")
        shell.wait(lambda lines: lines[-1] == ">", "the next line")
    shell.type("EOF")
    shell.key("Enter")
    shell.sees("pool here was made.")
    made = desk.api.find("pool", "here")
    assert made["description"] == 'of two\n  "lines" # both' and made["servers"][0]["ip"]["addr"] == "1.1.1.1"
    assert desk.script("configure pool here\ndescription <<'A B'\none\ntwo\nA B\nsave\n")[0] == 0
    assert desk.api.find("pool", "here")["description"] == "one\ntwo"
    assert desk.script("show version\nconfigure pool here description <<X\none\n")[2] == \
        "spanwire: (standard input):2: There is no line 'X' that ends the text.\n"
    key = Identity("here").key.strip()
    shell.run("configure sslkeyandcertificate here")
    shell.tmux("set-buffer", f"key <<EOF\n{key}\nEOF\nwhere\n")
    shell.tmux("paste-buffer", "-t", "t")
    shell.sees("| key ")
    assert key.split("\n")[1] not in "".join(shell.screen())
    shell.run("abort")
    shell.run("delete pool here")
    # Rules by the number that they have; words of enums, alone and out of a list again.
    shell.run("configure httppolicyset numbered")
    shell.run("http_request_policy")
    for line in ("rules index 11", "name eleventh", "save", "rules index 11 enable", "rules index 1 name first", "save", "save"):
        shell.run(line)
    rules = desk.api.find("httppolicyset", "numbered")["http_request_policy"]["rules"]
    assert [(r["index"], r["name"]) for r in rules] == [(11, "first")], "places count before numbers"
    shell.run("delete httppolicyset numbered")
    shell.run("debug virtualservice Test-VS")
    shell.run("debug_ip addrs 10.1.1.1")
    assert "It is one of DebugVirtualService: `save` keeps this level" in " ".join(shell.run("capture"))
    shell.run("cancel")
    uuid = desk.api.find("virtualservice", "Test-VS")["uuid"]
    assert shell.run("do debug virtualservice Test-VS debug_ip 10.7.0.1,10.7.1.0/24") == ["debugvirtualservice Test-VS was changed."]
    ip = desk.api.get(f"debugvirtualservice/{uuid}")["debug_ip"]
    assert [a["addr"] for a in ip["addrs"]] == ["10.7.0.1"] and ip["prefixes"][0]["mask"] == 24
    shell.run("no debug_hm")
    assert shell.run("debug_vs_hm_only") == [] and [row for row in shell.run("diff") if "DEBUG_VS_HM_ONLY" in row]
    shell.run("abort")
    shell.type("debug virtualservice Test-VS capture_r")
    shell.key("Tab")
    shell.sees("Test-VS capture_reason")
    shell.key("C-c")


def test_secrets_are_neither_seen_nor_kept(desk, shell):
    shell.run("configure sslkeyandcertificate hidden")
    shell.type("key")
    shell.key("Enter")
    shell.wait(lambda lines: lines[-1] == "key:", "question")
    shell.type("s3cret-typed")
    shell.key("Enter")
    assert table(shell.run("where"))["key"] == "<sensitive>"
    shell.run("key s3cret-in-line")
    assert not [row for row in shell.run("diff") if "s3cret" in row]
    shell.run("abort")
    shell.run("configure sslkeyandcertificate hidden key s3cret-at-once")
    listed = "\n".join(shell.run("history"))
    assert "configure sslkeyandcertificate hidden" in listed and "s3cret" not in listed
    assert not [line for line in shell.screen() if "s3cret-typed" in line]
    kept = desk.home / ".config/spanwire/history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and "s3cret" not in kept.read_text()
    shell.key("C-r")
    shell.type("diff")
    shell.sees("bck:")
    shell.key("C-c")


def test_texts_of_many_lines_are_asked_for(desk, shell):
    pasted = Identity("pasted")
    certificate, key = pasted.certificate, pasted.key
    assert shell.run("configure sslkeyandcertificate pasted") == []
    shell.run("certificate")
    shell.tmux("set-buffer", f"certificate\n{certificate.strip()}\nEND\nsave\nkey\n{key.strip()}\nwhere\n")
    shell.tmux("paste-buffer", "-t", "t")
    shell.sees("| key ")
    shell.prompts()
    lines = shell.screen()
    assert "Please input the value for field certificate (Enter END to terminate input):" in lines
    assert key.split("\n")[1] not in "".join(lines)
    assert table(shell.run("save"))["key"] == "<sensitive>"
    made = desk.api.find("sslkeyandcertificate", "pasted")
    assert made["certificate"]["certificate"].strip() == certificate.strip()
    assert key.split("\n")[1] not in (desk.home / ".config/spanwire/history").read_text()
    # A text that looks like something else is one.
    shell.run("configure pool braces description '{a: [b'")
    assert desk.api.find("pool", "braces")["description"] == "{a: [b"
    shell.run("delete pool braces")


def test_what_takes_long_can_be_left(desk, shell):
    shell.run("configure pool slow")
    desk.process.send_signal(signal.SIGSTOP)
    try:
        for line in ("do show pool", "save"):
            shell.type(line)
            shell.key("Enter")
            shell.wait(lambda lines: lines[-1].endswith(line), "line")
            # Its words wait at the controller's end of a connection.
            until(lambda: [row for row in subprocess.run(["ss", "-Htn", "state", "established", "src", desk.host], text=True,
                                                         capture_output=True, check=True).stdout.splitlines()
                           if row.split()[0] != "0"], "it asks")
            shell.key("C-c")
            said = shell.prompts()[-2]
        assert said == "Interrupted: whether it was done, `show` tells."
    finally:
        desk.process.send_signal(signal.SIGCONT)
    shell.run("abort")
    assert table(shell.run("show pool web"))["name"] == "web"


def test_control_c_and_control_d_lose_nothing(desk, shell):
    shell.run("configure pool web")
    shell.type("description half a li")
    shell.key("C-c")
    shell.wait(lambda lines: lines[-2:] == ["[admin:controller]: pool> description half a li^C", "[admin:controller]: pool>"], "it is dropped")
    # Of a line of several rows, from its beginning: the prompt stands below all of them.
    shell.type("description '" + 60 * "word " + "end'")
    shell.sees("end'")
    shell.key("C-a", "C-c")
    shell.wait(lambda lines: lines[-1] == "[admin:controller]: pool>" and lines[-2].endswith("end'^C"), "the line stays whole")
    assert shell.prompt() == "[admin:controller]: pool>"
    shell.run("description 'a whole line'")
    shell.key("C-d")
    shell.sees("Something was set here")
    shell.run("save")
    assert desk.api.find("pool", "web")["description"] == "a whole line"
    shell.type("watch show pool web")
    shell.key("Enter")
    shell.sees("(Ctrl-C ends)")
    shell.key("C-c")
    shell.prompts()
    # A controller that went and came back knows no session any more: nobody has to notice.
    desk.stop()
    assert "Cannot reach the controller" in shell.run("show pool web")[0]
    desk.start()
    assert table(shell.run("show pool web"))["description"] == "a whole line"
    shell.key("C-d")
    assert shell.exit_status() == 0


def test_two_who_edit_the_same_object_lose_nothing(desk, shell):
    desk.api.post("pool", {"name": "shared"})
    shell.run("configure pool shared")
    shell.run("description mine")
    shell.run("lb_algorithm round_robin")
    assert shell.run("reload") == ["Nobody else changed it."]
    assert desk.script("configure pool shared description theirs default_server_port 99")[0] == 0
    assert " ".join(shell.run("save")).endswith("`reload` takes what is there now, and keeps what you set.")
    said = shell.run("reload")
    assert said.pop() == "description was set here as well: `save` puts yours in its place."
    assert table(said) == {"description": "", "default_server_port": ""}
    assert table(shell.run("diff")) == {"description": "theirs", "lb_algorithm": ""}
    # What is stored and has no effect is named.
    inert = next(f["name"] for f in desk.api.get("model")["messages"]["Pool"]["fields"]
                 if f.get("inert") and f["type"] == "string" and not f.get("list"))
    shell.run(f"{inert} x")
    assert shell.run("save")[0] == f"spanwire: stored, but without effect yet: {inert}"
    shared = desk.api.find("pool", "shared")
    assert (shared["description"], shared["default_server_port"], shared["lb_algorithm"]) == \
        ("mine", 99, "LB_ALGORITHM_ROUND_ROBIN")
    shell.run("configure pool shared")
    shell.run("description again")
    desk.api.delete(f"pool/{shared['uuid']}")
    assert " ".join(shell.run("save")).endswith("Somebody deleted it: `abort` drops what was set here.")


def test_the_terminal_is_small(desk, shell):
    shell.run("terminal length 8")
    shell.type("show virtualservice vs_name")
    shell.key("Enter")
    shell.wait(lambda lines: lines[-1] == "--More--", "first page")
    before = len(shell.screen())
    shell.key("Enter")
    shell.wait(lambda lines: lines[-1] == "--More--" and len(lines) == before + 1, "a line")
    shell.key("Space")
    shell.wait(lambda lines: lines[-1] == "--More--" and len(lines) == before + 8, "a page")
    shell.key("q")
    assert not [line for line in shell.prompts() if "--More--" in line or "vrf_context_ref" in line]
    shell.type("configure pool web ")
    shell.key("?")
    shell.wait(lambda lines: lines[-1] == "--More--", "first page of help")
    shell.key("C-c")
    shell.prompts()
    shell.run("terminal length 0")
    shell.tmux("resize-window", "-t", "t", "-x", "40", "-y", "45")
    said = shell.run("show virtualservice")
    assert said[-1].startswith("No room for: SERVICES, ") and max(map(len, said[:-1])) <= 40
    # Views have all of it, one below the other.
    said = shell.run("show virtualservice vs_name runtime")
    assert max(map(len, said)) <= 40 and any(line.startswith("| num_se_requested ") for line in said)
    shell.type("configure healthmonitor b receive_timeout ")
    shell.key("?")
    assert [line for line in shell.sees("int32, 1 to 2400 SEC,") if "1 to 2400 SEC," in line and len(line) <= 40]
    shell.key("C-c")


def test_what_other_shells_have_is_answered_with_what_there_is(shell):
    for line in ("attach serviceengine x", "shutdown serviceengine x", "upgrade system"):
        assert "serviceengine NAME" in " ".join(shell.run(line))
    shell.type("watch show pool | include 10.0.0.5")
    shell.key("Enter")
    shell.wait(lambda lines: "Ctrl-C ends" in lines[-2] and "10.0.0.5" in lines[-1], "what was filtered")
    shell.key("C-c")
    shell.prompts()


def dialogues(*headings):
    """[prompt, what is typed there, what the manual answers], of these sections of the manual."""
    text = (ROOT / "docs/shell.md").read_text()
    for heading in headings:
        section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)^##", text, re.M | re.S)[1]
        for block in re.findall(r"^```\n(.*?)^```", section, re.M | re.S):
            turns = []
            for line in block.splitlines():
                found = re.match(r"(\[admin:controller\]: \S*>) (.*)", line)
                if found:
                    turns.append([found[1], found[2], []])
                elif turns:
                    turns[-1][2].append(line)
            yield from turns


def test_what_the_manual_types_is_answered_as_it_says(shell):
    turns = list(dialogues("The first quarter of an hour", "Before a terminal"))
    assert len(turns) > 25
    for prompt, line, answer in turns:
        assert shell.prompt() == prompt, line
        said = shell.run(line)
        assert said == answer or (answer == ["..."] and said), line
        assert not [row for row in said if "There is no " in row], said
    assert shell.prompt() == "[admin:controller]: >"


def test_utf8_whatever_the_machine_says(desk):
    t = desk.terminal(LC_ALL="C")
    try:
        t.run("configure pool grüße")
        t.run("description 你好")
        assert table(t.run("save"))["description"] == "你好"
        t.type("delete pool gr")
        t.key("Tab", "Enter")
        t.sees("pool grüße was deleted.")
    finally:
        t.close()


def test_names_from_the_controller_cannot_move_the_cursor(desk, shell):
    name = "evil\u202egnp.exe"
    made = desk.api.post("pool", {"name": name, "description": "\x1b[2J\x1b]0;title\x07\u009b1m\rend"})
    try:
        assert [row for row in shell.run("show pool") if "evil?gnp.exe" in row]
        shell.type("show pool ev")
        shell.key("Tab")
        shell.key("C-c")
        assert table(shell.run(f"show pool {made['uuid']}"))["description"] == "?[2J?]0;title???1m?end"
        assert "title" not in shell.tmux("display-message", "-p", "-t", "t", "#{pane_title}")
    finally:
        desk.api.delete(f"pool/{made['uuid']}")


def test_tenants_settings_files(desk, shell, tmp_path):
    desk.api.post("tenant", {"name": "blue"})
    assert shell.run("switchto tenant nowhere") == ["Tenant 'nowhere' does not exist!"]
    shell.run("switchto tenant blue")
    assert shell.prompt() == "[blue:controller]: >"
    shell.run("configure pool bluepool servers 10.9.0.1")
    assert json.loads("".join(shell.run("show pool bluepool --json")))["name"] == "bluepool"
    file = tmp_path / "blue.json"
    shell.run(f"export configuration {file}")
    assert "bluepool" in file.read_text() and stat.S_IMODE(file.stat().st_mode) == 0o600
    shell.run("delete pool bluepool")
    assert re.match(r"\d+ objects were imported\.", shell.run(f"import configuration {file}")[0])
    assert "bluepool" in "\n".join(shell.run("show pool"))
    shell.run("terminal json on")
    assert json.loads("\n".join(shell.run("show tenant blue")))["name"] == "blue"
    shell.run("terminal json off")
    shell.run("terminal width 60")
    assert max(len(line) for line in shell.run("show pool")) <= 60
    assert shell.run("sh pool") != [] and "could be any of" in shell.run("s pool")[0]
    assert shell.run("migrate virtualservice nothing") == ["There is no virtualservice 'nothing'."]


def test_a_login_is_kept_for_a_day(desk):
    without = {"SPANWIRE_PASSWORD_FILE": None, "HOME": desk.folder / "fresh"}
    (desk.folder / "fresh").mkdir()
    assert "No password" in desk.script("show pool", **without)[2]
    t = desk.terminal(**without)
    try:
        t.sees("Password of admin at")
        t.type(desk.password)
        t.key("Enter")
        t.prompts()
        assert not [line for line in t.screen() if desk.password in line]
    finally:
        t.close()
    token = desk.folder / "fresh/.config/spanwire/token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and desk.password not in token.read_text()
    status, out, _ = desk.script("show pool", **without)
    assert status == 0 and "web" in out
    token.chmod(0o644)
    assert "is open to others" in desk.script("show pool", **without)[2]
    token.chmod(0o600)
    kept = token.read_text()
    # A shell that outlives session and token asks again, in the midst of what it does.
    t = desk.terminal(**without)
    try:
        t.run("configure pool web")
        assert desk.script("logout", **without)[0] == 0 and not token.exists()
        desk.stop()
        desk.start()
        t.type("do show pool web")
        t.key("Enter")
        t.sees("Password of admin at")
        t.type(desk.password)
        t.key("Enter")
        assert t.prompts()[-1] == "[admin:controller]: pool>" and t.run("description anew") == []
        assert table(t.run("save"))["description"] == "anew"
    finally:
        t.close()
    token.write_text(kept)
    token.chmod(0o600)
    assert desk.script("show pool", **without)[0] != 0, "the controller knows it no more"


def test_scripts_ask_nothing_and_stop_at_the_first_error(desk, tmp_path):
    lines = ["# a pool, step by step", "configure pool scripted", "servers", "ip 10.0.0.7 port 80", "save",
             "lb_algorithm round_robin", "save", "show pool scripted | include ROUND", "exit", "nonsense"]
    status, out, wrong = desk.script("\n".join(lines))
    assert (status, wrong) == (0, "") and "LB_ALGORITHM_ROUND_ROBIN" in out and "controller]" not in out
    assert "+--" not in out and "\x1b" not in out

    file = tmp_path / "lines"
    file.write_text("show pool scripted\nshow pool nothing\ndelete pool scripted\n")
    status, out, wrong = desk.script("", "-f", str(file))
    assert status == 1 and wrong == f"spanwire: {file}:2: There is no pool 'nothing'.\n"
    assert desk.api.find("pool", "scripted")
    assert desk.script("configure pool scripted\nbogus 1\n")[:2] == (2, "")
    status, _, wrong = desk.script("configure pool scripted\nlb_algorithm fewest_servers\n")
    assert status == 2 and "was not saved" in wrong
    for field in ("key", "certificate certificate"):
        status, _, wrong = desk.script(f"configure sslkeyandcertificate x\n{field}\n")
        assert status == 2 and "@FILE" in wrong
    status, out, _ = desk.script("\ufeffshow pool scripted | count\r\n")
    assert status == 0 and out.endswith(" lines\n")
    assert desk.script("delete pool scripted\n")[0] == 0
    status, out, _ = desk.script("", "help")
    assert status == 0 and "switchto tenant" in out


def test_other_shells_complete_as_well(desk):
    ask = {k: str(v) for k, v in desk.environment().items() if v is not None}
    completion = desk.script("", "completion", "bash")[1]
    ask["PATH"] = f"{PROGRAM.parent}:{ask['PATH']}"
    # As it was begun: within quotes nothing is quoted once more, but what ends them.
    odd = desk.api.post("pool", {"name": "odd 'one' $\"2\""})["uuid"]
    for word, there in (("we", ["web", r"web\ shop"]), ('"we', ["web", "web shop"]), ("'web ", ["web shop"]),
                        ("od", [r"odd\ \'one\'\ \$\"2\""]), ('"od', [r"odd 'one' \$\"2\""]), ("'od", ["odd '\\''one'\\'' $\"2\""])):
        line = f"spanwire show pool {word}"
        tried = f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_WORDS=(spanwire show pool {shlex.quote(word)}) COMP_CWORD=3\n" \
            '_spanwire\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "-c", completion + tried], text=True, capture_output=True, env=ask, timeout=60, check=True)
        assert done.stdout.splitlines() == there, word
    desk.api.delete(f"pool/{odd}")
    assert "#compdef spanwire" in desk.script("", "completion", "zsh")[1]
    options = desk.script("", "--candidates", "spanwire --t")[1].split()
    assert "--tenant" in options


def test_zsh_completes_as_well(desk, tmp_path):
    """In a real one: what TAB makes of what was typed."""
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "key.pem").touch()
    t = Terminal(["zsh", "-f", "-i"], desk.environment(PATH=f"{PROGRAM.parent}:{os.environ['PATH']}"))
    try:
        t.type("PS1='%% '; autoload -U compinit; compinit -u -D; source <(spanwire completion zsh); print rea''dy")
        t.key("Enter")
        t.wait(lambda lines: "ready" in lines, "its completion")
        for typed, completed in {
            "spanwire sho": "spanwire show",
            "spanwire show pool we": "spanwire show pool web",
            "spanwire show virtualservice te": "spanwire show virtualservice Test-VS",
            "spanwire show pool web\\ s": "spanwire show pool web\\ shop",
            "spanwire show pool 'web s": "spanwire show pool 'web shop'",
            "spanwire show virtualservice vs_name traffic": "spanwire show virtualservice vs_name traffic_clone_stats",
            "spanwire --ten": "spanwire --tenant",
            "spanwire --tenant admin configure pool web lb_algorithm LB_ALGORITHM_RO":
                "spanwire --tenant admin configure pool web lb_algorithm LB_ALGORITHM_ROUND_ROBIN",
            f"spanwire configure sslkeyandcertificate x key @{tmp_path}/a\\ f":
                f"spanwire configure sslkeyandcertificate x key @{tmp_path}/a\\ folder/",
            "true; spanwire switchto tenant ad": "true; spanwire switchto tenant admin",
        }.items():
            t.wait(lambda lines: lines[-1] == "%", "prompt")
            t.type(typed)
            t.key("Tab")
            t.wait(lambda lines: f"% {completed}" in lines, completed)
            t.key("C-u", "C-l")
    finally:
        t.close()
