"""HTTP/2 from clients: real ones, and raw frames of those who try to cost more than they ask."""

import hashlib
import itertools
import json
import os
import socket
import struct
import time

import pytest

from headless import Headless
from lab.host import until
from origin import Origin

H2 = "--http2-prior-knowledge"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4

workers = pytest.mark.parametrize("workers", [1, 3])


def serve_nginx(lab, workers: int = 1, **profile) -> tuple:
    web, client = lab.server(), lab.client()
    engine = Headless(lab, workers).serve(lab.pool_body([web]), app="HTTP", http=profile, service={"enable_http2": True})
    until(lambda: "web1" in client.run("curl", "-s", engine.url, check=False).stdout, "the service answers")
    return engine, client, web


def serve_origin(lab, workers: int = 1, **profile) -> tuple:
    host, client = lab.server(), lab.client()
    origin = Origin(host)
    engine = Headless(lab, workers).serve([origin.address], app="HTTP", http=profile, service={"enable_http2": True})
    until(lambda: "md5" in client.run("curl", "-s", engine.url, check=False).stdout, "the service answers")
    return engine, client, origin


@workers
def test_files_and_bodies_arrive_whole(lab, workers):
    engine, client, web = serve_nginx(lab, workers)
    for size in (128, 16384, 1 << 20):
        out = lab.dir / "file"
        words = client.curl(H2, "-w", "%{http_version} %{http_code}", "-o", out, f"{engine.url}files/{size}")
        assert words == "2 200"
        assert out.read_bytes() == (web.dir / "www" / "files" / str(size)).read_bytes(), size
    # HTTP/1 goes on beside it.
    assert client.curl("-w", "%{http_version}", "-o", "/dev/null", engine.url) == "1.1"
    said = client.run("h2load", "-n", "2000", "-c", "5", "-m", "40", f"{engine.url}files/16384").stdout
    assert "2000 succeeded, 0 failed" in said, said
    words = client.curl(H2, "-I", f"{engine.url}files/16384").lower()
    assert "content-length: 16384" in words and words.startswith("http/2 200")


@workers
def test_bodies_go_both_ways(lab, workers):
    engine, client, origin = serve_origin(lab, workers)
    body = os.urandom(3_000_001)
    (lab.dir / "body").write_bytes(body)
    for path, coding in itertools.product(["", "chunked", "close"], [[], ["-H", "Content-Length:"]]):
        said = json.loads(client.curl(H2, *coding, "--data-binary", f"@{lab.dir / 'body'}", engine.url + path))
        assert said["length"] == len(body), (path, coding)
        assert said["md5"] == hashlib.md5(body).hexdigest(), (path, coding)


def test_who_is_answered_before_he_has_said_all_may_say_it(lab):
    engine, client, _ = serve_nginx(lab)
    (lab.dir / "body").write_bytes(bytes(900_000))      # nginx answers by the head alone
    begun = time.monotonic()
    for _ in range(5):
        assert client.run("nghttp", "-d", lab.dir / "body", engine.url).stdout == "web1\n"
    assert time.monotonic() - begun < 8     # and not only when the engine's patience is over


# ---- frames ----

class Frames:
    """A connection of HTTP/2, frame by frame; heads are literals without Huffman."""

    def __init__(self, client, engine, settings: bytes = b""):
        self.peer = client.connect(engine.vip, engine.port)
        self.peer.settimeout(10)
        self.read = b""
        self.peer.sendall(PREFACE)
        self.send(SETTINGS, 0, 0, settings)

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        self.peer.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

    def head(self, stream: int, fields: list, flags: int = END_STREAM | END_HEADERS) -> None:
        self.send(HEADERS, flags, stream, block(fields))

    def get(self, stream: int, path: str = "/", **more) -> None:
        self.head(stream, [(":method", "GET"), (":scheme", "http"), (":authority", "shop"), (":path", path)], **more)

    def frames(self):
        """Until the end."""
        while True:
            while len(self.read) < 9 or len(self.read) < 9 + int.from_bytes(self.read[:3], "big"):
                try:
                    piece = self.peer.recv(65536)
                except ConnectionResetError:
                    piece = b""
                if not piece:
                    return
                self.read += piece
            size = int.from_bytes(self.read[:3], "big")
            kind, flags, stream = self.read[3], self.read[4], int.from_bytes(self.read[5:9], "big")
            payload, self.read = self.read[9:9 + size], self.read[9 + size:]
            yield kind, flags, stream, payload

    def until(self, kind: int, stream: int = 0) -> bytes:
        for got, _, of, payload in self.frames():
            if got == kind and of == stream:
                return payload
        raise AssertionError(f"no frame {kind} of stream {stream} came")


def block(fields: list) -> bytes:
    def word(text) -> bytes:
        data = text.encode() if isinstance(text, str) else text
        if len(data) < 127:
            return bytes([len(data)]) + data
        left, size = len(data) - 127, b"\x7f"
        while left >= 128:
            size, left = size + bytes([left % 128 + 128]), left // 128
        return size + bytes([left]) + data
    return b"".join(b"\x00" + word(name) + word(value) for name, value in fields)


def reaches(client, engine) -> bool:
    try:
        client.connect(engine.vip, engine.port).close()
        return True
    except OSError:
        return False


def goaway(frames: Frames) -> int:
    return int.from_bytes(frames.until(GOAWAY)[4:8], "big")


GET = [(":method", "GET"), (":scheme", "http"), (":authority", "shop")]


def test_what_no_http1_connection_could_say_is_not_said_by_a_stream(lab):
    engine, client, origin = serve_origin(lab)
    for name, fields in {
        "a blank in the path": GET + [(":path", "/ HTTP/1.1\r\nX: y")],
        "a second request in a value": GET + [(":path", "/"), ("x", "y\r\n\r\nGET /smuggled HTTP/1.1")],
        "a coding": GET + [(":path", "/"), ("transfer-encoding", "chunked")],
        "another host": GET + [(":path", "/"), ("host", "other")],
        "two lengths": GET + [(":path", "/"), ("content-length", "0"), ("content-length", "0")],
        "a name with a colon": GET + [(":path", "/"), ("a:b", "c")],
        "an upper case name": GET + [(":path", "/"), ("Abc", "c")],
        "no path": GET,
        "an empty path": GET + [(":path", "")],
        "another scheme": [(":method", "GET"), (":scheme", "ftp"), (":authority", "shop"), (":path", "/")],
        "a path of another kind": GET + [(":path", "smuggled")],
    }.items():
        origin.heard.clear()
        peer = Frames(client, engine)
        peer.head(1, fields)
        peer.get(3, "/after")
        status = None
        for kind, flags, stream, payload in peer.frames():
            if stream == 1 and kind == HEADERS:
                status = payload[:1]
            if stream == 3 and flags & END_STREAM:
                break
        assert b"smuggled" not in origin.heard and b"X: y" not in origin.heard, name
        assert origin.heard.count(b" HTTP/1.1\r\n") == 1 and b"GET /after" in origin.heard, (name, origin.heard)


# What RFC 9113 forbids, by its section: the error code that may be told, and the frames (type, flags, stream, payload).
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 1, 3, 5, 6, 9
PADDED, WITH_PRIORITY, LAST = 8, 32, END_STREAM | END_HEADERS


def head(*more, method: str = "GET") -> bytes:
    return block([(":method", method), *GET[1:], (":path", "/"), *more])


OPEN = (HEADERS, END_HEADERS, 1, head(method="POST"))
ASKED = (HEADERS, LAST, 1, head())
CLOSED = (HEADERS, LAST, 1, head()), "answered"
HALF = head()[:5], head()[5:]
RESET = (RST_STREAM, 0, 1, struct.pack(">I", 8))
of_one = struct.Struct(">I").pack

FORBIDDEN = [
    ("4.2 a large DATA", {FRAME_SIZE_ERROR}, OPEN, (DATA, END_STREAM, 1, bytes(16385))),
    ("4.2 a large HEADERS", {FRAME_SIZE_ERROR}, (HEADERS, LAST, 1, head(("x", "y" * 16400)))),
    ("4.3 no field block", {COMPRESSION_ERROR}, (HEADERS, LAST, 1, b"\x40")),
    ("4.3 another stream within a field block", {PROTOCOL_ERROR}, (HEADERS, END_STREAM, 1, HALF[0]), (HEADERS, LAST, 3, head())),
    ("5.1 DATA of an idle stream", {PROTOCOL_ERROR}, (DATA, END_STREAM, 1, b"x")),
    ("5.1 RST_STREAM of an idle stream", {PROTOCOL_ERROR}, RESET),
    ("5.1 WINDOW_UPDATE of an idle stream", {PROTOCOL_ERROR}, (WINDOW_UPDATE, 0, 1, of_one(100))),
    ("5.1 CONTINUATION of an idle stream", {PROTOCOL_ERROR}, (CONTINUATION, END_HEADERS, 1, head())),
    ("5.1 HEADERS after the end", {STREAM_CLOSED}, ASKED, (HEADERS, LAST, 1, head())),
    ("5.1 HEADERS after RST_STREAM", {STREAM_CLOSED}, OPEN, RESET, (HEADERS, LAST, 1, head())),
    ("5.1 HEADERS when both have ended", {STREAM_CLOSED}, *CLOSED, (HEADERS, LAST, 1, head())),
    ("5.1 DATA after the end", {STREAM_CLOSED}, ASKED, (DATA, END_STREAM, 1, b"x")),
    ("5.1 DATA after RST_STREAM", {STREAM_CLOSED}, OPEN, RESET, (DATA, END_STREAM, 1, b"x")),
    ("5.1 DATA when both have ended", {STREAM_CLOSED}, *CLOSED, (DATA, END_STREAM, 1, b"x")),
    ("5.1 CONTINUATION when both have ended", {STREAM_CLOSED, PROTOCOL_ERROR}, *CLOSED, (CONTINUATION, END_HEADERS, 1, head())),
    ("5.1.1 an even stream", {PROTOCOL_ERROR}, (HEADERS, LAST, 2, head())),
    ("5.1.1 a stream that was passed by", {PROTOCOL_ERROR}, (HEADERS, LAST, 5, head()), (HEADERS, LAST, 3, head())),
    ("5.5 an extension within a field block", {PROTOCOL_ERROR}, (HEADERS, END_STREAM, 1, HALF[0]), (0xff, 0, 0, b"")),
    ("6.1 DATA of no stream", {PROTOCOL_ERROR}, (DATA, END_STREAM, 0, b"x")),
    ("6.1 more padding than DATA", {PROTOCOL_ERROR}, OPEN, (DATA, END_STREAM | PADDED, 1, b"\x06test")),
    ("6.2 HEADERS of no stream", {PROTOCOL_ERROR}, (HEADERS, LAST, 0, head())),
    ("6.2 more padding than HEADERS", {PROTOCOL_ERROR}, (HEADERS, LAST | PADDED, 1, b"\xf0" + head())),
    ("6.3 PRIORITY of no stream", {PROTOCOL_ERROR}, (PRIORITY, 0, 0, bytes(5))),
    ("6.3 a short PRIORITY", {FRAME_SIZE_ERROR}, OPEN, (PRIORITY, 0, 1, bytes(4))),
    ("6.4 RST_STREAM of no stream", {PROTOCOL_ERROR}, (RST_STREAM, 0, 0, of_one(8))),
    ("6.4 a short RST_STREAM", {FRAME_SIZE_ERROR}, OPEN, (RST_STREAM, 0, 1, bytes(3))),
    ("6.5 SETTINGS ACK that says something", {FRAME_SIZE_ERROR}, (SETTINGS, 1, 0, b"x")),
    ("6.5 SETTINGS of a stream", {PROTOCOL_ERROR}, (SETTINGS, 0, 1, struct.pack(">HI", 3, 100))),
    ("6.5 SETTINGS of a strange length", {FRAME_SIZE_ERROR}, (SETTINGS, 0, 0, bytes(3))),
    ("6.5.2 ENABLE_PUSH 2", {PROTOCOL_ERROR}, (SETTINGS, 0, 0, struct.pack(">HI", 2, 2))),
    ("6.5.2 a window of 2 GiB", {FLOW_CONTROL_ERROR}, (SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))),
    ("6.5.2 too small a frame", {PROTOCOL_ERROR}, (SETTINGS, 0, 0, struct.pack(">HI", 5, 16383))),
    ("6.5.2 too large a frame", {PROTOCOL_ERROR}, (SETTINGS, 0, 0, struct.pack(">HI", 5, 1 << 24))),
    ("6.7 PING of a stream", {PROTOCOL_ERROR}, (PING, 0, 1, bytes(8))),
    ("6.7 a short PING", {FRAME_SIZE_ERROR}, (PING, 0, 0, bytes(6))),
    ("6.8 GOAWAY of a stream", {PROTOCOL_ERROR}, (GOAWAY, 0, 1, bytes(8))),
    ("6.9 no more window", {PROTOCOL_ERROR}, (WINDOW_UPDATE, 0, 0, bytes(4))),
    ("6.9 no more window of a stream", {PROTOCOL_ERROR}, OPEN, (WINDOW_UPDATE, 0, 1, bytes(4))),
    ("6.9 a short WINDOW_UPDATE", {FRAME_SIZE_ERROR}, (WINDOW_UPDATE, 0, 0, bytes(3))),
    ("6.9.1 a window above 2 GiB", {FLOW_CONTROL_ERROR}, *[(WINDOW_UPDATE, 0, 0, of_one((1 << 31) - 1))] * 2),
    ("6.9.1 a stream's window above 2 GiB", {FLOW_CONTROL_ERROR}, OPEN, *[(WINDOW_UPDATE, 0, 1, of_one((1 << 31) - 1))] * 2),
    ("6.10 CONTINUATION after the block", {PROTOCOL_ERROR, STREAM_CLOSED}, OPEN, (CONTINUATION, END_HEADERS, 1, head())),
    ("6.10 CONTINUATION of no stream", {PROTOCOL_ERROR}, (HEADERS, END_STREAM, 1, HALF[0]), (CONTINUATION, END_HEADERS, 0, HALF[1])),
    ("8.1 a second head that is no end", {PROTOCOL_ERROR}, OPEN, (HEADERS, END_HEADERS, 1, block([("x", "y")]))),
    ("8.1 a pseudo-header field in trailers", {PROTOCOL_ERROR}, OPEN, (HEADERS, LAST, 1, block([(":method", "POST")]))),
    ("8.1.1 more than the length", {PROTOCOL_ERROR}, (HEADERS, END_HEADERS, 1, head(("content-length", "1"), method="POST")),
     (DATA, 0, 1, b"te"), (DATA, END_STREAM, 1, b"st")),
    ("8.1.1 less than the length", {PROTOCOL_ERROR}, (HEADERS, END_HEADERS, 1, head(("content-length", "9"), method="POST")),
     (DATA, END_STREAM, 1, b"te")),
    ("8.2.2 a field of the connection", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, head(("connection", "keep-alive")))),
    ("8.2.2 TE of more than trailers", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, head(("te", "trailers, deflate")))),
    ("8.3 an unknown pseudo-header field", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, block([(":x", "y"), *GET, (":path", "/")]))),
    ("8.3 one of an answer", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, head((":status", "200")))),
    ("8.3 one that comes late", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, block([("x", "y"), *GET, (":path", "/")]))),
    ("8.3.1 no method", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, block([*GET[1:], (":path", "/"), ("x", "y")]))),
    ("8.3.1 two methods", {PROTOCOL_ERROR}, (HEADERS, LAST, 1, head((":method", "GET")))),
    ("8.4 a promise of the client", {PROTOCOL_ERROR}, OPEN, (PUSH, END_HEADERS, 1, of_one(2) + head())),
    ("RFC 7541 2.3.3 an index of nothing", {COMPRESSION_ERROR}, (HEADERS, LAST, 1, b"\xff\x7f")),
    ("RFC 7541 4.2 a size at the end", {COMPRESSION_ERROR}, (HEADERS, LAST, 1, head() + b"\x3e")),
    ("RFC 7541 6.3 a size above the limit", {COMPRESSION_ERROR}, (HEADERS, LAST, 1, b"\x3f\xe1\xff\x7f" + head())),
]


def test_what_the_rfc_forbids_is_told_by_its_code(lab):
    engine, client, _ = serve_nginx(lab)
    wrong = {}
    for name, codes, *frames in FORBIDDEN:
        peer = Frames(client, engine)
        for frame in frames:
            if frame == "answered":
                any(kind in (HEADERS, DATA) and flags & END_STREAM for kind, flags, _, _ in peer.frames())
            else:
                peer.send(*frame)
        told = next((int.from_bytes(payload[4:8] if kind == GOAWAY else payload, "big")
                     for kind, _, _, payload in peer.frames() if kind in (GOAWAY, RST_STREAM)), None)
        if told not in codes:
            wrong[name] = told
        peer.peer.close()
    assert not wrong


def test_costly_clients_are_sent_away(lab):
    engine, client, origin = serve_origin(lab, http2_profile={  # it answers when a body is complete
        "max_http2_control_frames_per_connection": 100, "max_http2_empty_data_frames_per_connection": 50})

    def flood(what) -> int:
        peer = Frames(client, engine)
        try:
            what(peer)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return goaway(peer)

    def pings(peer):
        for _ in range(200):
            peer.send(PING, 0, 0, b"12345678")

    def settings(peer):
        for _ in range(200):
            peer.send(SETTINGS, 0, 0)

    def resets(peer):
        for stream in range(1, 400, 2):
            peer.get(stream)
            peer.send(RST_STREAM, 0, stream, struct.pack(">I", 8))

    def empty(peer):
        peer.get(1, flags=END_HEADERS)
        for _ in range(100):
            peer.send(DATA, 0, 1)

    for what in (pings, settings, resets, empty):
        assert flood(what) == 11, what.__name__  # ENHANCE_YOUR_CALM
    # CONTINUATION without end.
    peer = Frames(client, engine)
    try:
        peer.head(1, GET + [(":path", "/")], flags=0)
        for _ in range(100):
            peer.send(CONTINUATION, 0, 1, block([("x", "y" * 100)]))
    except (ConnectionResetError, BrokenPipeError):
        pass
    list(peer.frames())
    # And the others are served as ever.
    assert client.curl(H2, "-w", "%{http_code}", "-o", "/dev/null", engine.url) == "200"


def test_limits_of_the_profile(lab):
    engine, client, origin = serve_origin(lab, client_max_request_size=4, client_max_body_size=1, http2_profile={
        "max_http2_concurrent_streams_per_connection": 2, "max_http2_requests_per_connection": 5,
        "max_http2_header_field_size": 200, "max_http2_queued_frames_to_client_per_connection": 30})
    code = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert client.curl(H2, *code, "-H", "x: " + "y" * 199, engine.url) == "200"
    assert client.curl(H2, *code, "-H", "x: " + "y" * 201, engine.url) == "431"
    many = [w for i in range(50) for w in ("-H", f"x{i}: " + "y" * 100)]
    assert client.curl(H2, *code, *many, engine.url) == "431"
    (lab.dir / "body").write_bytes(b"x" * 2000)
    assert client.curl(H2, *code, "--data-binary", f"@{lab.dir / 'body'}", engine.url) == "413"
    # What the settings say.
    peer = Frames(client, engine)
    said = {key: value for key, value in struct.iter_unpack(">HI", peer.until(SETTINGS))}
    assert said[3] == 2 and said[4] == 65536 and said[6] == 4096, said
    # Frames that wait for the client.
    for pings, end in ((20, False), (60, True)):
        asks = Frames(client, engine)
        asks.until(SETTINGS)
        asks.peer.sendall(b"".join(b"\0\0\x08\x06\0\0\0\0\0" + bytes([n]) * 8 for n in range(pings)))
        acks = 0
        for kind, flags, of, payload in asks.frames():
            acks += kind == PING
            if acks == pings:
                break
        assert (acks < pings) == end
    # The fifth request is the last, and it is answered; GOAWAY names it.
    for stream in (1, 3, 5, 7, 9):
        peer.get(stream)
        last = None
        for kind, flags, of, payload in peer.frames():
            if kind == GOAWAY:
                last = int.from_bytes(payload[:4], "big")
            if of == stream and flags & END_STREAM:
                break
        assert last == (9 if stream == 9 else None)
    assert list(peer.frames()) == []  # and the end


def test_a_stream_is_reset_alone(lab):
    """A client takes nothing of one stream and leaves another: the third goes on."""
    engine, client, web = serve_nginx(lab)
    peer = Frames(client, engine, struct.pack(">HI", 4, 1000))  # windows of 1,000 bytes
    peer.get(1, "/files/1048576")
    peer.until(DATA, 1)
    peer.get(3, "/files/1048576")
    peer.until(DATA, 3)
    peer.send(RST_STREAM, 0, 3, struct.pack(">I", 8))
    peer.get(5, "/files/128")
    assert len(peer.until(DATA, 5)) == 128
    peer.send(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2000))
    assert len(peer.until(DATA, 1)) <= 2000


def test_trailers_go_both_ways(lab):
    host, client = lab.server(), lab.client()
    with host.entered():
        listener = socket.create_server(("", 8000))
    engine = Headless(lab).serve([{"ip": {"addr": host.ip4, "type": "V4"}, "port": 8000}], app="HTTP",
                                 service={"enable_http2": True})
    until(lambda: reaches(client, engine), "the service listens")
    peer = Frames(client, engine)
    peer.head(1, [(":method", "POST"), (":scheme", "http"), (":authority", "shop"), (":path", "/"), ("te", "trailers")],
              flags=END_HEADERS)
    peer.send(DATA, 0, 1, b"hello")
    peer.head(1, [("x-sum", "5")])
    server, _ = listener.accept()
    server.settimeout(10)
    heard = b""
    while not heard.endswith(b"\r\n\r\n") or b"0\r\n" not in heard:
        heard += server.recv(65536)
    assert b"5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n" in heard and b"TE: trailers" in heard, heard
    server.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nX-Status: fine\r\n\r\n")
    heads = []
    for kind, flags, stream, payload in peer.frames():
        if kind == HEADERS and stream == 1:
            heads.append(payload)
            if flags & END_STREAM:
                break
    assert len(heads) == 2
