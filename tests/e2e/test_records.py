"""Requests and connections leave records at the engines, and the controller gathers them."""

import re
import socket

import pytest

from lab import ApiError, until
from origin import Origin


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
    for bad in ({"filter": "like(a,b)"}, {"groupby": "method"}, {"virtualservice": "nobody"}):
        with pytest.raises(ApiError) as refused:
            records(lab, vs, **{"type": 1, **bad})
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
