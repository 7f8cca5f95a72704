"""Requests and connections leave records at the engines, and the controller gathers them."""

import contextlib
import datetime
import re
import socket
import struct
import threading

import pytest

from contract import cpu_ms
from lab import ApiError, until
from origin import Origin


def socket_server(host, port):
    """Says "here" to who says anything; resets who says "away"."""
    def serve():
        while True:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                if peer.recv(4) == b"away":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    peer.sendall(b"here")
                    peer.recv(4)
    with host.entered():
        listener = socket.create_server(("", port), backlog=64)
    threading.Thread(target=serve, daemon=True).start()
    return {"ip": {"addr": host.ip4, "type": "V4"}, "port": port}


def records(lab, vs, **query):
    return lab.api.get("/api/analytics/logs", **{"virtualservice": vs.uuid, **query})


def test_each_request_leaves_a_record_with_its_id(lab):
    host, client = lab.server(), lab.client()
    origin = Origin(host)
    engines = [lab.engine(workers=2)]
    vs = lab.virtual_service(pool=[origin.address])
    until(lambda: client.get(vs.url).ok, "it answers")
    headers = {"X-Request-ID": "order-4711.a", "User-Agent": "till/1", "Referer": "http://x/", "Cookie": "secret=1",
               "Authorization": "Basic c2VjcmV0"}
    client.request("POST", vs.url + "buy?what=tea", data=b"x" * 1000, headers=headers)
    assert b"X-Request-ID: order-4711.a\r\n" in origin.heard
    client.get(vs.url + "made", headers={"X-Request-ID": "not good"})
    made = re.findall(rb"X-Request-ID: ([0-9a-f]{32})\r\n", origin.heard)
    assert len(made) == len(set(made)) > 1 and b"not good" not in origin.heard
    client.run("curl", "-s", "-X", "TRACE", vs.url + "traced")

    def left():
        """A record is written after its answer has left."""
        told = records(lab, vs, type=1, page_size=100)
        return told if {"/buy", "/made", "/traced"} <= {r["uri_path"] for r in told["results"]} else None
    seen = until(left, "each has left its record")
    assert seen["count"] == len(seen["results"]) >= 4 and seen["percent_remaining"] == 0 and seen["missing"] == []
    bought = next(r for r in seen["results"] if r["uri_path"] == "/buy")
    expected = {"request_id": "order-4711.a", "method": "POST", "uri_query": "what=tea", "user_agent": "till/1",
                "referer": "http://x/", "host": vs.vip, "response_code": 200, "server_response_code": 200,
                "client_ip": client.ip4, "vs_ip": vs.vip, "server_ip": host.ip4, "server_dest_port": 8080, "client_dest_port": 80,
                "http_version": "1.1", "adf": False, "virtualservice": vs.uuid, "service_engine": engines[0].uuid}
    assert {k: bought.get(k) for k in expected} == expected
    assert bought["pool"].startswith("pool-") and bought["request_length"] > 1000 and bought["response_length"] > 100
    assert {"client_rtt", "server_rtt", "app_response_time", "total_time", "response_time_first_byte",
            "response_time_last_byte", "data_transfer_time"} <= bought.keys()
    assert "secret" not in str(seen) and "c2VjcmV0" not in str(seen)
    # Newest first; the other way on request.
    times = [r["report_timestamp"] for r in seen["results"]]
    assert times == sorted(times, reverse=True)
    assert [r["log_id"] for r in records(lab, vs, type=1, page_size=100, orderby="report_timestamp")["results"]] == [
        r["log_id"] for r in reversed(seen["results"])]
    # What went wrong is significant, and says why.
    traced = records(lab, vs, type=1, adf="true")["results"]
    assert [(r["uri_path"], r["response_code"], r["significant_log"]) for r in traced] == [
        ("/traced", 501, ["ADF_RESPONSE_CODE_5XX"])]
    assert "server_response_code" not in traced[0]
    # Filters, pages, columns, time.
    def one(**query):
        return [r["uri_path"] for r in records(lab, vs, type=1, **query)["results"]]

    assert one(filter="eq(request_id,order-4711.a)") == ["/buy"]
    assert one(filter=["ge(response_code,500)", "sw(uri_path,/tr)"]) == ["/traced"]
    assert one(filter="co(significant_log,5XX)") == ["/traced"]
    assert one(filter="ne(method,GET)", page_size=1, page=2) == ["/buy"]
    assert records(lab, vs, type=1, cols="method,uri_path", filter="eq(uri_path,/buy)")["results"] == [
        {"method": "POST", "uri_path": "/buy"}]
    by_code = [r["response_code"] for r in records(lab, vs, type=1, orderby="-response_code")["results"]]
    assert by_code == sorted(by_code, reverse=True)
    assert records(lab, vs, type=1, end=times[-1], start="2020-01-01T00:00:00")["count"] == 1
    assert records(lab, vs, filter="eq(uri_path,/buy)")["count"] == 1  # an HTTP service: requests, when nobody says otherwise
    assert one(filter=[f"eq(service_engine,{engines[0].uuid})", "eq(vs_name,%s)" % vs.name, "eq(adf,false)", "co(all,\"4711\")"]) == ["/buy"]
    assert one(filter="ne(tenant_name,admin)") == [] and one(filter="eq(service_engine,nobody)") == []
    assert one(filter=[f"eq(pool_name,{vs.name}-pool)", "lt(total_time,60000)", "eq(response_code,200.0)", "sw(uri_path,/b)"]) == ["/buy"]
    # adf is asked for, unless it is said that it is not.
    assert "/traced" in one(nf="true", udf="true", page_size=100) and "/traced" not in one(nf="true", adf="false", page_size=100)
    assert records(lab, vs, type=1, groupby="method", filter="ne(method,GET)", orderby="method", cols="sum(response_length)")["results"] == [
        {"method": "POST", "count": 1, "col0": bought["response_length"]}, {"method": "TRACE", "count": 1, "col0": next(
            r["response_length"] for r in seen["results"] if r["method"] == "TRACE")}]
    lines = lab.api.send("GET", f"/api/analytics/logs?virtualservice={vs.name}&format=csv&download&cols=method,uri_path&filter=eq(uri_path,/buy)")
    assert (lines.text, lines.headers["Content-Type"]) == ("method,uri_path\r\nPOST,/buy\r\n", "text/csv; charset=utf-8")
    assert "logs.csv" in lines.headers["Content-Disposition"]
    for bad in ("filter=like(a,b)", "filter=eq(uri_pth,x)", "groupby=colour", "virtualservice=nobody", "end=yesterday", "orderby=x", "cols=a"):
        with pytest.raises(ApiError, match=bad.split("=")[0] + ": .*[.]") as refused:
            lab.api.get(f"/api/analytics/logs?type=1&{bad}" + ("" if "virtualservice" in bad else f"&virtualservice={vs.uuid}"))
        assert refused.value.status == 400
    # The proxy dies; what it wrote is still there.
    engines[0].kill_proxy()
    assert records(lab, vs, type=1, filter="eq(uri_path,/buy)")["count"] == 1
    # An engine that is gone is named, and not left out.
    engines[0].kill()
    gone = until(lambda: records(lab, vs, type=1).get("missing"), "the engine is missed")
    assert gone[0]["service_engine"] == engines[0].uuid


def test_clients_learn_the_id_when_the_profile_says_so(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    silent = lab.virtual_service(pool=[web])
    assert "X-Request-ID" not in client.get(silent.url).headers
    profile = lab.api.post("applicationprofile", {"name": "tells", "type": "APPLICATION_PROFILE_TYPE_HTTP",
                                                  "http_profile": {"request_id_in_answer": True}})
    vs = lab.virtual_service(pool=[web], application_profile_ref=profile["url"])
    until(lambda: client.get(vs.url).ok, "it answers")
    assert client.get(vs.url, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    made = client.get(vs.url).headers["X-Request-ID"]
    until(lambda: records(lab, vs, filter=f"eq(request_id,{made})")["count"] == 1, "there is its record")
    refused = client.request("TRACE", vs.url).headers["X-Request-ID"]
    record, = until(lambda: records(lab, vs, filter=f"eq(request_id,{refused})")["results"], "and that of a refusal")
    assert record["response_code"] == 501


def test_loops_as_clients_write_them_end_and_miss_nothing(lab):
    """By `next`, by page and count, and by the time of the last record, while requests go on."""
    web, client = lab.server(), lab.client()
    lab.engine(workers=2)
    vs = lab.virtual_service(pool=[web], monitor=None)
    until(lambda: client.get(vs.url).ok, "it answers")
    traffic = threading.Thread(target=client.run, args=("curl", "-s", "-o", "/dev/null", f"{vs.url}?[1-500]"))
    traffic.start()

    def by_next(**query):
        told = records(lab, vs, type=1, udf="true", nf="true", page_size=60, **query)
        while True:
            yield from told["results"]
            if "next" not in told:
                return
            told = lab.api.get(told["next"].removeprefix(lab.api.url))

    def by_time(step, size=40, **query):
        """From the time of the last one on, that one included or not, until nothing new comes."""
        last = set()
        while True:
            rows = [r for r in records(lab, vs, type=1, nf="true", page_size=size, **query)["results"] if r["log_id"] not in last]
            yield from rows
            if not rows:
                return
            last = {r["log_id"] for r in rows}
            query.update(step(datetime.datetime.fromisoformat(rows[-1]["report_timestamp"])))

    def back(at):
        return {"end": at.isoformat()}

    def on(at):
        return {"start": f"{at + datetime.timedelta(microseconds=1):%Y-%m-%dT%H:%M:%S.%fZ}"}
    until(lambda: records(lab, vs, type=1, page_size=1)["count"] > 100, "some requests have come")
    for way in (by_next(), by_next(orderby="report_timestamp"), by_time(back), by_time(on, 100, orderby="report_timestamp")):
        ids = [r["log_id"] for r in way]
        assert len(ids) == len(set(ids)) > 100
    traffic.join()
    wanted = {str(n) for n in range(1, 501)}
    until(lambda: records(lab, vs, type=1, filter="gt(uri_query,0)", page_size=1)["count"] == 500, "all have their records")
    for way in (by_next(duration=3600), by_time(back, 200), by_time(on, 200, orderby="report_timestamp")):
        queries = [r["uri_query"] for r in way if "uri_query" in r]
        assert len(queries) == 500 and set(queries) == wanted
    pages = [records(lab, vs, type=1, page=page, page_size=200)["results"] for page in range(1, 5)]
    assert {r.get("uri_query") for page in pages for r in page} >= wanted and pages[3] == []
    # Of a large answer the threads that others wait for, of the controller and of the warden, do what they must.
    pids = lab.controller.process.pid, lab.engines[0].warden
    for ask in ({"type": 1, "groupby": "response_code"}, {"type": 1, "format": "csv", "page_size": 500}):
        before = [cpu_ms(pid) for pid in pids]
        for _ in range(30):
            lab.api.send("GET", "/api/analytics/logs", params={"virtualservice": vs.uuid, **ask})
        (core, threads), (warden, inquiries) = ((now - then for now, then in zip(cpu_ms(pid), was)) for pid, was in zip(pids, before))
        print(f"measured: {ask}: ms, controller {core:.0f}, its threads {threads:.0f}; warden {warden:.0f}, its threads {inquiries:.0f}")
        # The core must still read what engines say, which for one group is most of the work; done by it, the rest would leave the threads none.
        assert core < 20 * threads and warden < inquiries, ask


def test_connections_of_http_leave_records_and_say_what_came_on_them(lab):
    """Also one on which nothing came, and one whose handshake failed."""
    host, client = lab.server(), lab.client()
    origin = Origin(host)
    lab.engine(workers=1)
    certificate = lab.api.post("sslkeyandcertificate", {"name": "shop", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE",
                                                        "certificate": {"self_signed": True, "subject": {"common_name": "shop.example"}}})
    vs = lab.virtual_service(pool=[origin.address], ssl_key_and_certificate_refs=[certificate["url"]],
                             services=[{"port": 80}, {"port": 443, "enable_ssl": True}])
    until(lambda: client.get(vs.url).ok, "it answers")
    client.run("curl", "-sk", f"https://{vs.vip}/a", f"https://{vs.vip}/b")
    client.run("curl", "-s", "--tlsv1.2", "--cacert", "/dev/null", f"https://{vs.vip}/untrusted", check=False)
    with client.entered():
        socket.create_connection((vs.vip, 80)).close()

    def connections(**query):
        return records(lab, vs, type=0, page_size=100, **query)["results"]
    two, = until(lambda: connections(filter="eq(num_transaction,2)"), "the connection of two requests has its record")
    expected = {"client_ip": client.ip4, "vs_ip": vs.vip, "client_dest_port": 443, "adf": False, "protocol": "PROTOCOL_TCP",
                "ssl_version": "TLSv1.3", "virtualservice": vs.uuid}
    assert {k: two.get(k) for k in expected} == expected
    asked, = records(lab, vs, type=1, filter="eq(uri_path,/b)")["results"]
    assert asked["client_src_port"] == two["client_src_port"] and two["rx_pkts"] > 4 and two["tx_pkts"] > 2
    assert asked["server_conn_src_ip"].count(".") == 3 and asked["pool_name"] == vs.name + "-pool"
    assert two["rx_bytes"] > asked["request_length"] and two["tx_bytes"] > asked["response_length"] and two["mss"] > 500
    early, = until(lambda: connections(filter="eq(significant_log,ADF_CLIENT_CONNECTION_CLOSED_BEFORE_REQUEST)"), "one on which nothing came")
    assert (early["client_dest_port"], early["num_transaction"], early["rx_bytes"]) == (80, 0, 0)
    refused, = until(lambda: connections(filter="co(significant_log,SSL_HANDSHAKE)"), "and one that was not to be")
    assert refused["adf"] and refused["client_dest_port"] == 443 and not records(lab, vs, type=1, filter="co(uri_path,untrusted)")["results"]


def test_connections_leave_records_too(lab):
    web, client = lab.server(), lab.client()
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=[web], http=False)
    until(lambda: client.fresh_get(vs.url).ok, "it answers")
    assert len(client.fresh_get(vs.url + "files/16384").content) == 16384
    newest = until(lambda: next((r for r in records(lab, vs, type=0)["results"] if r["tx_bytes"] > 16384), None), "the record is there")
    expected = {"client_ip": client.ip4, "vs_ip": vs.vip, "client_dest_port": 80, "server_ip": web.ip4, "protocol": "PROTOCOL_TCP",
                "adf": False, "virtualservice": vs.uuid}
    assert {k: newest.get(k) for k in expected} == expected
    assert 50 < newest["rx_bytes"] < 1000
    assert records(lab, vs)["count"] > 0          # connections are what a service of L4 is asked for
    web.stop()
    refused = until(lambda: client.run("curl", "-s", vs.url, check=False).returncode and
                    records(lab, vs, adf="true")["results"], "a refused connection is significant")
    assert refused[0]["significant_log"][0].startswith("ADF_")


def test_what_the_profile_excuses_is_not_significant(lab):
    web, client = lab.server(), lab.client()
    origin = Origin(web)
    resets = socket_server(web, 9000)
    lab.engine(workers=1)
    excuse = lab.api.post("analyticsprofile", {"name": "excuse"})
    http = lab.virtual_service(pool=[origin.address], monitor=None, analytics_profile_ref=excuse["url"])
    tcp = lab.virtual_service(pool=[resets], monitor=None, http=False, analytics_profile_ref=excuse["url"])
    raw = "/raw/" + b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n".hex()

    def reset(vs, say):
        with client.connect(vs.vip, 80) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sendall(say)
            if say == b"stay":
                s.recv(4)

    def trouble():
        """Four answers, a client that says nothing, one that resets, a server that does."""
        for status in (404, 410, 429, 500):
            client.fresh_get(http.url + raw.replace(b"%d".hex(), str(status).encode().hex())[1:])
        client.connect(http.vip, 80).close()
        reset(tcp, b"stay")
        with contextlib.suppress(OSError), client.connect(tcp.vip, 80) as s:
            s.sendall(b"away")
            s.recv(4)

    def errors():
        found = [r["response_code"] for r in records(lab, http, type=1, adf="true", page_size=100)["results"]]
        for vs in (http, tcp):
            found += [r["significant_log"][0].removeprefix("ADF_") for r in records(lab, vs, type=0, adf="true", page_size=100)["results"]]
        return sorted(map(str, found))
    until(lambda: client.get(http.url).ok, "it answers")
    trouble()
    all_of = ["404", "410", "429", "500", "CLIENT_CONNECTION_CLOSED_BEFORE_REQUEST", "CLIENT_SENT_RESET", "SERVER_SENT_RESET"]
    until(lambda: errors() == all_of, f"each is an error: {errors()}")
    for excused in ({"exclude_http_error_codes": [404], "ranges": [{"begin": 410, "end": 428}], "exclude_tcp_reset_as_error": True,
                     "exclude_server_tcp_reset_as_error": True, "exclude_client_close_before_request_as_error": True},
                    {"resp_code_block": ["AP_HTTP_RSP_4XX"]}):
        before = errors()
        lab.api.put(f"analyticsprofile/{excuse['uuid']}", {"name": "excuse", **excused})
        until(lambda: http.in_force() and tcp.in_force(), "the change is in force")
        trouble()
        still = ["429", "500"] if "ranges" in excused else ["500", *all_of[4:]]
        until(lambda: errors() == sorted(before + still), f"and now fewer: {errors()}")


def test_the_analytics_policy_says_which_records_are_kept(lab):
    web, client, stranger = lab.server(), lab.client(), lab.client()
    lab.engine(workers=2)
    vs = lab.virtual_service(pool=[Origin(web).address], monitor=None)
    until(lambda: client.get(vs.url).ok, "it answers")

    def policy(**says):
        body = lab.api.get(f"virtualservice/{vs.uuid}")
        lab.api.put(f"virtualservice/{vs.uuid}", {**body, "analytics_policy": says} if says else {k: v for k, v in body.items() if k != "analytics_policy"})
        until(vs.in_force, "the policy is in force")

    def ask(name, n, who=client):
        """N requests for paths of this name, and one at the end that leaves a record whatever is said."""
        for i in range(n):
            who.get(f"{vs.url}{name}/{i}")
        who.run("curl", "-s", "-X", "TRACE", f"{vs.url}{name}/end")

    def kept(name, **query):
        told = records(lab, vs, type=1, page_size=200, filter=f"sw(uri_path,/{name}/)", **query)["results"]
        return [r for r in told if not r["uri_path"].endswith("/end")]

    def ended(name):
        return until(lambda: records(lab, vs, type=1, filter=f"eq(uri_path,/{name}/end)")["results"], "the last one has left its record")

    unlimited = {"significant_log_throttle": 0, "udf_log_throttle": 0}
    policy(full_client_logs={"enabled": False}, **unlimited)
    ask("off", 3)
    ended("off")
    assert kept("off") == []
    filters = [{"index": 1, "name": "tea", "enabled": True, "uri": {"match_criteria": "CONTAINS", "match_str": ["/tea/"]}},
               {"index": 2, "name": "her", "enabled": True, "client_ip": {"match_criteria": "IS_IN", "addrs": [
                   {"addr": stranger.ip4, "type": "V4"}]}}]
    policy(full_client_logs={"enabled": False}, client_log_filters=filters, **unlimited)
    ask("tea", 2)
    ask("milk", 2)
    ask("sugar", 2, stranger)
    for name in ("tea", "milk", "sugar"):
        ended(name)
    assert [(r["client_log_filter_name"], r["udf"], r["adf"]) for r in kept("tea")] == [("tea", True, False)] * 2
    assert kept("milk") == [] and {r["client_log_filter_name"] for r in kept("sugar")} == {"her"}
    assert len(kept("tea", udf="true", adf="false")) == 2 and kept("tea", adf="true") == []
    # So many a second, and what was more is counted.
    policy(full_client_logs={"enabled": True, "throttle": 2, "duration": 0}, client_log_filters=filters[:1],
           significant_log_throttle=1, udf_log_throttle=1)
    client.run("curl", "-s", *[f"{vs.url}{name}/{i}" for name in ("rest", "tea/more") for i in range(20)])
    client.run("curl", "-s", *[word for i in range(20) for word in ("-X", "TRACE", f"{vs.url}wrong/{i}", "--next")][:-1])
    until(lambda: records(lab, vs, type=1)["throttled"] >= 40, "most are too many")
    until(lambda: lab.api.get(f"virtualservice/{vs.uuid}/vslogstats")[0]["statistics"] == {
        "records_throttled": records(lab, vs, type=1)["throttled"]}, "it is counted as well")
    for name in ("rest", "tea/more", "wrong"):
        assert 0 < len(until(lambda: kept(name), f"one of {name} is kept")) < 15
    policy()
    ask("all", 20)
    ended("all")
    assert len(kept("all")) == 20
