"""What the shell shows of a living service is what the API says of it, in tables and in JSON."""

import json

from lab import until


def spanwire(lab, *words):
    c = lab.controller
    return c.run("env", "-i", "PATH=/usr/bin", "HOME=/nonexistent", f"SPANWIRE_CONTROLLER={c.url}",
                 f"SPANWIRE_PASSWORD_FILE={c.password_file}", f"SPANWIRE_CA={c.data / 'ca.pem'}",
                 lab.program("spanwire"), *words).stdout


def test_runtime_and_clone_stats(lab):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    vs = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids])).wait_servers_up(1)
    for _ in range(5):
        assert client.fresh_get(vs.url).ok

    row = dict(zip(*[line.split() for line in spanwire(lab, "show", "virtualservice").splitlines()]))
    assert row["NAME"] == vs.name and row["STATE"] == "OPER_UP" and row["ENABLED"] == "true"
    def total():
        told = json.loads(spanwire(lab, "--json", "show", "virtualservice", vs.name, "tcpstat"))
        return sum(engine_["statistics"]["conn_total"] for engine_ in told)

    until(lambda: total() == 5, "connections were counted")
    spanwire(lab, "clear", "virtualservice", vs.name)
    assert total() == 0
    assert client.fresh_get(vs.url).ok
    until(lambda: total() == 1, "it counts on from 0")
    runtime = spanwire(lab, "show", "virtualservice", vs.name, "runtime")
    assert engine.name in runtime and "OPER_UP" in runtime

    until(lambda: vs.clone_sum("eligible") == vs.clone_sum("sent") > 0, "copies were counted")
    sent, = [copies["sent"] for engine_ in vs.clone_stats() for copies in engine_["clone_srvr_stats"]]
    told, = json.loads(spanwire(lab, "--json", "show", "virtualservice", vs.name, "traffic_clone_stats"))
    assert told["se_name"] == engine.name and told["clone_srvr_stats"][0]["sent"] == sent
    shown = spanwire(lab, "show", "virtualservice", vs.name, "traffic_clone_stats")
    books = dict(line.split() for line in shown.split("clone_srvr_stats[1]")[1].split("totals")[0].splitlines() if line.strip())
    assert books["eligible"] == books["sent"] == str(sent) and books["ip"] == ids.eth.ip
    assert books["num_total_pkts_cloned"] == str(sent) and books["num_mbuf_alloc_failed"] == "0"
    head = dict(line.split(None, 1) for line in shown.split("clone_srvr_stats[1]")[0].splitlines()[1:])
    assert head["proc_id"].strip() == "PROC_Aggregate" and head["se_uuid"].strip() == told["se_uuid"]
