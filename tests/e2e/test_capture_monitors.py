"""Health checks in captures: known by the engine's own marks, of the service whose servers they check, never copied."""

from test_capture import Capture, tshark

from lab import until


def test_checks_are_known_as_what_they_are(lab):
    """Of each kind, both ways; another service with a pool of its own has its checks for itself."""
    ids, servers, client = lab.sensor(), [lab.server() for _ in range(2)], lab.client()
    lab.engine()
    monitors = [lab.health_monitor(kind, f"m-{kind}") for kind in ("http", "tcp", "ping")]
    vs, other = (lab.virtual_service(pool=[web], monitor=None, clone=lab.clone_profile([ids]),
                                     pool_more={"health_monitor_refs": monitors}) for web in servers)
    vs.wait_servers_up(1)
    other.wait_servers_up(1)
    capture = Capture(lab, vs, debug_hm="DEBUG_VS_HM_ONLY").wait_engines(1)
    assert client.fresh_get(vs.url).ok
    assert client.fresh_get(other.url).ok
    until(lambda: capture.runtime().get("packets", 0) > 24, "some rounds of checks")
    capture.end()
    file = capture.download()
    rows = tshark(file, "", "ip.src", "ip.dst", "icmp.type", "tcp.flags", "http.request.uri", "frame.comment")
    assert {tuple(sorted(row[:2])) for row in rows} == {tuple(sorted((servers[0].ip4, lab.engines[0].back0.ip)))}
    assert {"0", "8"} <= {row[2] for row in rows}
    assert {row[4] for row in rows if row[4]} == {"/health"}
    # Whole ones: from the SYN to the end, as many answers as echoes.
    echoes = [row[2] for row in rows if row[2]]
    assert abs(echoes.count("8") - echoes.count("0")) <= 1
    assert sum(int(row[3], 16) & 18 == 2 for row in rows if row[3]) >= 2
    ids.settled()
    assert not [talk for talk in ids.conversations() if b"/health" in talk.sent or not talk.sent]
