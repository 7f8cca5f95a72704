"""What the shell shows of a living service is what the API says of it, in tables and in JSON."""

import json
import re

from lab import until
from terminal import Terminal


def spanwire(lab, *words):
    c = lab.controller
    return c.run("env", "-i", "PATH=/usr/bin", "HOME=/nonexistent", f"SPANWIRE_CONTROLLER={c.url}",
                 f"SPANWIRE_PASSWORD_FILE={c.password_file}", f"SPANWIRE_CA={c.data / 'ca.pem'}",
                 lab.program("spanwire"), *words).stdout


def test_runtime_and_clone_stats(lab, tmp_path):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    for _ in range(5):
        assert client.fresh_get(vs.url).ok

    def listed():
        return dict(zip(*[line.split() for line in spanwire(lab, "show", "virtualservice").splitlines()]))

    # An engine that stood still asks for its address again, and is up a little later.
    row = until(lambda: (now := listed())["STATE"] == "OPER_UP" and now, "it is up in the table")
    assert row["NAME"] == vs.name and row["ENABLED"] == "true"

    def total():
        told = json.loads(spanwire(lab, "--json", "show", "virtualservice", vs.name, "tcpstat"))
        return sum(engine_["statistics"]["conn_total"] for engine_ in told)

    until(lambda: total() == 5, "connections were counted")
    spanwire(lab, "clear", "virtualservice", vs.name)
    assert total() == 0
    assert client.fresh_get(vs.url).ok
    until(lambda: total() == 1, "it counts on from 0")
    lab.api.post("poolgroup", {"name": "around", "members": [{"pool_ref": f"/api/pool/{vs.pool_uuid}"}]})

    def of_servers():
        row, = lab.api.get(f"pool/{vs.pool_uuid}/algo")[0]["statistics"]
        return row["statistics"]["http_requests"]
    # A connection is counted when it comes, its request when it goes on: the engine may have told of one before the other.
    until(lambda: of_servers() == 6, "requests were counted")
    spanwire(lab, "clear", "poolgroup", "around")
    assert (of_servers(), total()) == (0, 1)
    spanwire(lab, "clear", "serviceengine", engine.name)
    assert total() == 0
    runtime = spanwire(lab, "show", "virtualservice", vs.name, "runtime")
    assert engine.name in runtime and "OPER_UP" in runtime

    client.session.close()
    ids.settled()
    sums = vs.clone_told()
    assert sums["eligible"] == sums["sent"] > 0, "copies were counted"

    def sent():
        return [server["sent"] for engine_ in vs.clone_stats() for server in engine_["clone_srvr_stats"]]

    def views():
        """Of one moment: connections to servers that end as they are idle are copied, too."""
        before = sent()
        said = [spanwire(lab, *form, "show", "virtualservice", vs.name, "traffic_clone_stats") for form in (["--json"], [])]
        return sent() == before and (*before, *said)
    copies, told, shown = until(views, "nothing is copied while it is looked at")
    told, = json.loads(told)
    assert told["se_name"] == engine.name and told["clone_srvr_stats"][0]["sent"] == copies
    books = dict(line.split() for line in shown.split("clone_srvr_stats[1]")[1].split("totals")[0].splitlines() if line.strip())
    assert books["eligible"] == books["sent"] == str(copies) and books["ip"] == ids.eth.ip
    assert books["num_total_pkts_cloned"] == str(copies) and books["num_mbuf_alloc_failed"] == "0"
    head = dict(line.split(None, 1) for line in shown.split("clone_srvr_stats[1]")[0].splitlines()[1:])
    assert head["proc_id"].strip() == "PROC_Aggregate" and head["se_uuid"].strip() == told["se_uuid"]

    # Every view before a terminal, and what becomes of a move.
    lab.engine()
    names = {"virtualservice": vs.name, "pool": lab.api.get("pool")["results"][0]["name"], "serviceengine": engine.name,
             "serviceenginegroup": "Default-Group", "cloud": "Default-Cloud"}
    c = lab.controller
    t = Terminal(["ip", "netns", "exec", c.ns, lab.program("spanwire")], {
        "SPANWIRE_CONTROLLER": c.url, "SPANWIRE_PASSWORD_FILE": c.password_file, "SPANWIRE_CA": c.data / "ca.pem",
        "HOME": tmp_path, "LC_ALL": "C.UTF-8"}, width=100)
    try:
        walked = 0
        for kind in lab.api.get("model")["kinds"]:
            if kind.get("views") and kind["kind"] in names:
                for view in kind["views"]:
                    said = t.run(f"show {kind['kind']} {names[kind['kind']]} {view.replace('/', ' ')}")
                    assert said == ["There is nothing."] or (said[0][:2] == "+-" and not re.search(r'[{}"]', "".join(said))), said
                    assert max((len(line) for line in said if line[:1] in ("+", "|")), default=0) <= 100, said
                    walked += 1
        assert walked > 30
        until(lambda: len([e for e in lab.api.get("serviceengine-inventory")["results"]
                           if e["runtime"]["oper_status"]["state"] == "OPER_UP"]) == 2, "both engines are there")
        said = t.run(f"migrate virtualservice {vs.name}")
        assert re.match(rf"{vs.name}: OPER_UP on (?!{engine.name} )\S+ \(\d+\.\d s\)$", said[-1]), said
        assert client.fresh_get(vs.url).ok
    finally:
        t.close()
