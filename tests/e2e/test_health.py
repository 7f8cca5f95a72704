"""Health monitors against real servers: every kind, up and down, over IPv4 and IPv6."""

import subprocess
import sys

from lab import until

# Two: one may be lost to a machine that stands still for a second.
FAST = {"send_interval": 2, "receive_timeout": 1, "successful_checks": 1, "failed_checks": 2}

# Says OK to "ping", and nothing to anything else.
UDP = """
import select, socket
socks = []
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any, 5000))
    socks.append(s)
while True:
    for s in select.select(socks, [], [])[0]:
        data, peer = s.recvfrom(2000)
        if data == b"ping":
            s.sendto(b"all is OK here", peer)
"""


def certificate(folder, name):
    """A self-signed certificate for NAME and its key."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2",
                    "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return key, cert


class Services:
    """What runs beside nginx on a host; each may be stopped and started again."""

    def __init__(self, lab, host):
        self.host = host
        key, cert = certificate(lab.dir, "www.example.com")
        self.ca = cert.read_text()
        self.argv = {
            "https": ["openssl", "s_server", "-accept", "4433", "-cert", cert, "-key", key, "-www", "-quiet"],
            "dns": ["dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
                    "--local=/example.com/", "--host-record=www.example.com,192.0.2.7",
                    "--mx-host=www.example.com,mail.example.com,10", "--srv-host=_sip._tcp.example.com,www.example.com,5060"],
            "udp": [sys.executable, "-c", UDP],
            # Who shows no certificate is sent away.
            "mutual": ["openssl", "s_server", "-accept", "4434", "-cert", cert, "-key", key, "-www", "-quiet", "-Verify", "1"],
        }
        self.running = {}
        for name in self.argv:
            self.start(name)

    def start(self, name):
        self.running[name] = self.host.start(*self.argv[name], log=f"{self.host.name}-{name}")

    def stop(self, name):
        self.running[name].stop()


def state_of(lab, vs, row):
    return lab.api.get(f"pool/{vs.pool_uuid}/runtime/server/")["results"][row]["oper_status"]


def test_every_kind_notices_up_and_down_over_both_families(lab):
    web = lab.server()
    more = Services(lab, web)
    lab.engine()
    pki = lab.api.post("pkiprofile", {"name": "ours", "crl_check": False, "ca_certs": [{"certificate": more.ca}]})
    monitors = {
        "ping": (80, {}),
        "tcp": (80, {"tcp_monitor": {"tcp_request": "GET / HTTP/1.0\r\n\r\n", "tcp_response": "web1"}}),
        "http": (80, {"http_monitor": {"http_request": "GET /health HTTP/1.0", "http_response": "well",
                                       "http_response_code": ["HTTP_2XX"]}}),
        "https": (4433, {"https_monitor": {
            "http_request": "GET / HTTP/1.0", "http_response_code": ["HTTP_2XX"], "http_response": "s_server",
            "ssl_attributes": {"ssl_profile_ref": "/api/sslprofile?name=System-Standard", "server_name": "www.example.com",
                               "pki_profile_ref": f"/api/pkiprofile/{pki['uuid']}"}}}),
        "udp": (5000, {"udp_monitor": {"udp_request": "ping", "udp_response": "OK"}}),
        "dns": (53, {"dns_monitor": {"query_name": "www.example.com", "response_string": "192.0.2.7"}}),
    }
    services = {}
    for kind, (port, body) in monitors.items():
        monitor = lab.health_monitor(kind, f"hm-{kind}", **{**FAST, **body})
        services[kind] = lab.virtual_service(
            pool=[{"ip": {"addr": ip, "type": t}, "port": port} for ip, t in ((web.ip4, "V4"), (web.ip6, "V6"))],
            name=kind, http=False, monitor=monitor, wait=False)
    half = lab.health_monitor("tcp", "hm-half", **{**FAST, "tcp_monitor": {"tcp_half_open": True}})
    services["half"] = lab.virtual_service(pool=lab.pool_body([web]) + lab.pool_body([web], v6=True), name="half",
                                           http=False, monitor=half, wait=False)

    def everywhere(state):
        wrong = [(kind, row, status) for kind, vs in services.items() for row in (0, 1)
                 if (status := state_of(lab, vs, row))["state"] != state]
        everywhere.wrong = wrong
        return not wrong

    def reach(state):
        try:
            until(lambda: everywhere(state), f"every server is {state}")
        except AssertionError as e:
            raise AssertionError(f"{e}: {everywhere.wrong}") from e

    reach("OPER_UP")
    for name in more.argv:
        more.stop(name)
    web.stop()
    web.sysctl("net.ipv4.icmp_echo_ignore_all", 1, "net.ipv6.icmp.echo_ignore_all", 1)
    reach("OPER_DOWN")
    why = {"ping": "no echo reply within 1 s", "tcp": "connection refused", "http": "connection refused",
           "https": "connection refused", "half": "connection refused",
           "udp": "nothing listens on the port: ICMP says it is unreachable",
           "dns": "nothing listens on the port: ICMP says it is unreachable"}
    for kind, vs in services.items():
        for row in (0, 1):
            until(lambda: why[kind] in str(state_of(lab, vs, row)), f"{kind} says: {why[kind]}")
    for name in more.argv:
        more.start(name)
    web.serve()
    web.sysctl("net.ipv4.icmp_echo_ignore_all", 0, "net.ipv6.icmp.echo_ignore_all", 0)
    reach("OPER_UP")

    # Changed while it runs: another text to wait for, another authority to believe.
    lab.api.patch("healthmonitor/" + lab.api.find("healthmonitor", "hm-http")["uuid"],
                  replace={"http_monitor": {"http_request": "GET /health HTTP/1.0", "http_response": "nowhere",
                                            "http_response_code": ["HTTP_2XX"]}})
    other = certificate(lab.dir, "other.example.com")[1].read_text()
    lab.api.patch(f"pkiprofile/{pki['uuid']}", replace={"ca_certs": [{"certificate": other}]})
    lab.api.patch("healthmonitor/" + lab.api.find("healthmonitor", "hm-dns")["uuid"],
                  replace={"dns_monitor": {"query_name": "www.example.com", "response_string": "192.0.2.8"}})
    lab.api.patch("healthmonitor/" + lab.api.find("healthmonitor", "hm-udp")["uuid"],
                  replace={"udp_monitor": {"udp_request": "pong", "udp_response": "OK"}})
    for kind, text in {"http": "without the expected text", "https": "certificate", "udp": "no answer within 1 s",
                       "dns": "192.0.2.8 is not in the answer"}.items():
        for row in (0, 1):
            until(lambda: text in str(state_of(lab, services[kind], row)), f"{kind} says {text}")
    assert "TLS: " in str(state_of(lab, services["https"], 0))


def test_half_open_is_never_accepted(lab):
    web = lab.server()
    seen = web.start("tcpdump", "-i", "eth0", "-nn", "-l", "tcp port 80", log="syns")
    until(lambda: "listening on" in seen.tail(), "tcpdump listens")
    lab.engine()
    monitor = lab.health_monitor("tcp", **{**FAST, "tcp_monitor": {"tcp_half_open": True}})
    lab.virtual_service(pool=[web], http=False, monitor=monitor).wait_servers_up(1)
    until(lambda: (lab.dir / "syns.log").read_text().count("Flags [R") >= 2, "two checks were made")
    lines = [line for line in (lab.dir / "syns.log").read_text().splitlines() if "Flags [" in line]
    flags = [line.split("Flags [")[1].split("]")[0] for line in lines]
    at = flags.index("S")
    assert flags[at:at + 2] == ["S", "S."] and flags[at + 2] in ("R.", "R"), flags[:6]
    assert "." not in flags, "no handshake was completed"
    assert not (lab.dir / web.name / "access.log").read_text().strip()


def test_what_a_dns_answer_must_hold(lab):
    web = lab.server()
    Services(lab, web)
    lab.engine()
    name = {"query_name": "www.example.com"}
    cases = [  # as many as an engine carries by default
        ("dns", {"dns_monitor": {**name}}, "OPER_UP", "answered with 1 record"),
        ("dns", {"dns_monitor": {**name, "record_type": "DNS_RECORD_AAAA"}}, "OPER_DOWN", "the answer has no AAAA record"),
        ("dns", {"dns_monitor": {**name, "record_type": "DNS_RECORD_AAAA", "qtype": "DNS_ANY_TYPE"}}, "OPER_DOWN",
         "the answer has no record"),
        ("dns", {"dns_monitor": {**name, "record_type": "DNS_RECORD_AAAA", "qtype": "DNS_ANY_THING"}}, "OPER_UP",
         "answered with 0 records"),
        ("dns", {"dns_monitor": {**name, "record_type": "DNS_RECORD_MX"}}, "OPER_UP", "answered with 1 record"),
        ("dns", {"dns_monitor": {"query_name": "_sip._tcp.example.com", "record_type": "DNS_RECORD_SRV"}}, "OPER_UP",
         "answered with 1 record"),
        ("dns", {"dns_monitor": {"query_name": "no.example.org"}}, "OPER_DOWN", "answered REFUSED"),
        ("dns", {"dns_monitor": {"query_name": "no.example.org", "rcode": "RCODE_ANYTHING", "qtype": "DNS_ANY_THING"}},
         "OPER_UP", "answered with 0 records"),
        ("udp", {"udp_monitor": {"udp_request": "ping", "maintenance_response": "is OK"}}, "OPER_DISABLED",
         "the answer has the text of maintenance"),
        ("udp", {"udp_monitor": {"udp_request": "hm"}}, "OPER_UP", "nothing was said against it within 1 s"),
    ]
    services = [lab.virtual_service(
        pool=[{"ip": {"addr": web.ip4, "type": "V4"}, "port": 53 if kind == "dns" else 5000}], name=f"case{n}", http=False,
        monitor=lab.health_monitor(kind, f"hm{n}", **{**FAST, **body}), wait=False)
        for n, (kind, body, _, _) in enumerate(cases)]
    for vs, (_, body, state, reason) in zip(services, cases):
        until(lambda: state_of(lab, vs, 0)["state"] == state and reason in str(state_of(lab, vs, 0)),
              f"{body} comes to {state}: {reason}")


def test_a_server_in_maintenance_keeps_what_it_has(lab):
    web, client = [lab.server() for _ in range(2)], lab.client()
    lab.engine(workers=1)
    monitor = lab.health_monitor("http", **{**FAST, "http_monitor": {
        "http_request": "GET /health HTTP/1.0", "http_response_code": ["HTTP_2XX"], "maintenance_code": [503]}})
    vs = lab.virtual_service(pool=web, http=False, monitor=monitor,
                             pool_more={"graceful_hm_down_disable_timeout": 0, "lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"}
                             ).wait_servers_up(2)
    held = [client.connect(vs.vip, 80) for _ in range(2)]
    web[0].fall_sick()
    until(lambda: vs.server_state(web[0])["state"] == "OPER_DISABLED", "web1 is in maintenance")
    assert "HTTP 503: down for maintenance" in str(vs.server_state(web[0]))
    assert {client.fresh_get(vs.url).text.strip() for _ in range(6)} == {"web2"}
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)
        connection.close()
    events = [e["event_id"] for e in lab.api.get("analytics/logs", type=2, page_size=100)["results"]]
    assert "SERVER_MAINTENANCE" in events and "SERVER_DOWN" not in events
    web[0].recover()
    vs.wait_servers_up(2)

    # The way that it went, with times, as its engine remembers it.
    shown = lab.api.get(f"pool/{vs.pool_uuid}/runtime/server/hmonstat")[0]["servers"]
    mine = next(s for s in shown if s["ip_addr"]["addr"] == web[0].ip4)
    way = [(change["state"], change["reason"]) for change in mine["history"]]
    assert way[-2:] == [("OPER_DISABLED", "HTTP 503: down for maintenance"), ("OPER_UP", "HTTP 200")], way
    times = [change["at"]["secs"] * 1_000_000 + change["at"]["usecs"] for change in mine["history"]]
    assert times == sorted(times) and times[0] > 1_600_000_000_000_000
    assert mine["checks"] > 0
    detail = lab.api.get(f"pool/{vs.pool_uuid}/runtime/detail")[0]["servers"]
    assert any(s["server_hm_stat"]["history"] == mine["history"] for s in detail)


# Answers its word with its status, both from the file `mood`.
MOODY = """
import http.server, pathlib, sys
class Moody(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status = int(pathlib.Path(sys.argv[1]).read_text())
        self.send_response(status)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"moody\\n")
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Moody).serve_forever()
"""


def test_real_traffic_lowers_the_share_of_a_failing_server(lab):
    web, other, client = lab.server(), lab.server(), lab.client()
    mood = lab.dir / "mood"
    mood.write_text("500")
    other.start(sys.executable, "-c", MOODY, mood, log="moody")
    until(lambda: other.run("ss", "-Hltn", "sport = :8080").stdout, "it listens")
    lab.engine(workers=1)
    vs = lab.virtual_service(pool=[web, {"ip": {"addr": other.ip4, "type": "V4"}, "port": 8080}], monitor=None,
                             pool_more={"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"})

    def moody(count):
        return sum(client.fresh_get(vs.url).text == "moody\n" for _ in range(count))
    moody(20)
    assert moody(64) <= 8, "it gets little while it fails"
    mood.write_text("200")
    until(lambda: moody(20) == 10, "it gets its share back")
    mood.write_text("500")
    vs.patch_pool(replace={"inline_health_monitor": False})
    until(lambda: moody(20) == 10, "nobody looks any more")
    assert moody(40) == 20


def test_a_check_shows_its_certificate(lab):
    web = lab.server()
    Services(lab, web)
    lab.engine()
    key, cert = certificate(lab.dir, "checker")
    mine = lab.api.post("sslkeyandcertificate", {
        "name": "checker", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "key": key.read_text(),
        "certificate": {"certificate": cert.read_text()}})
    pool = [{"ip": {"addr": web.ip4, "type": "V4"}, "port": 4434}]
    ssl = {"ssl_profile_ref": "/api/sslprofile?name=System-Standard"}
    services = []
    for name, more in (("with", {"ssl_key_and_certificate_ref": f"/api/sslkeyandcertificate/{mine['uuid']}"}), ("without", {})):
        monitor = lab.health_monitor("https", f"hm-{name}", **{**FAST, "https_monitor": {
            "http_request": "GET / HTTP/1.0", "http_response_code": ["HTTP_2XX"], "ssl_attributes": {**ssl, **more}}})
        services.append(lab.virtual_service(pool=pool, name=name, http=False, monitor=monitor, wait=False))
    until(lambda: state_of(lab, services[0], 0)["state"] == "OPER_UP", "who shows it is let in")
    until(lambda: state_of(lab, services[1], 0)["state"] == "OPER_DOWN", "who does not is not")
    assert str(state_of(lab, services[1], 0)).count("TLS: ") == 1, state_of(lab, services[1], 0)
