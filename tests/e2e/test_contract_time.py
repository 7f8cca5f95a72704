"""What ends by itself: a request that never arrives whole, and a session that nobody uses."""

import time

from contract import error


def test_slow_requests_and_idle_sessions_end(controller, admin):
    """One minute for both: a request has 60 s to arrive, and the session is told to sleep no longer than one."""
    sleeper = controller.session()
    assert admin.patch("controllerproperties", {"replace": {"api_idle_timeout": 1}}).status_code == 200
    last_used = time.monotonic()
    assert sleeper.get("pool").status_code == 200
    slow = {"head": controller.tls(), "body": controller.tls()}
    slow["head"].sendall(b"POST /api/pool HTTP/1.1\r\n")
    slow["body"].sendall(f"POST /api/pool HTTP/1.1\r\nHost: {controller.host}\r\nContent-Length: 1000\r\n\r\n".encode())
    start, ended = time.monotonic(), {}
    while len(ended) < len(slow):
        assert time.monotonic() - start < 90, f"only {ended} were closed"
        for name in set(slow) - set(ended):
            try:
                slow[name].sendall(b"x")
            except OSError:
                ended[name] = time.monotonic() - start
        assert admin.get("pool?page_size=1").status_code == 200
        time.sleep(0.5)
    assert min(ended.values()) > 55, "a client that is merely not fast was cut off"
    assert time.monotonic() - last_used > 60
    assert "expired" in error(sleeper.get("pool"), 419)
    # As Python and Go do on 419.
    assert sleeper.login().status_code == 200
    assert sleeper.get("pool").status_code == 200
