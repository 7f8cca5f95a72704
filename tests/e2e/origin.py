"""A server that tells what reached it, for those who want to know what a proxy made of their request."""

import contextlib
import hashlib
import json
import socket
import threading


class Origin(threading.Thread):
    """Answers each request with JSON: the head's lines, the MD5 and length of the body.

    /chunked answers in chunks, /close without a length; /raw/HEX says these bytes and hangs up. `heard` has every
    byte that any connection received.
    """

    def __init__(self, host, port: int = 8080):
        super().__init__(daemon=True)
        self.port, self.heard = port, bytearray()
        self.address = {"ip": {"addr": host.ip4, "type": "V4"}, "port": port}
        with host.entered():
            self.listener = socket.create_server(("", port), backlog=64)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer: socket.socket) -> None:
        stream = peer.makefile("rwb")
        try:
            while self.exchange(stream):
                pass
        except (OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):      # what it still had to say, to who is gone
                stream.close()
            peer.close()

    def line(self, stream) -> bytes:
        line = stream.readline(70000)
        self.heard += line
        return line.rstrip(b"\r\n")

    def body(self, stream, size: int) -> bytes:
        body = stream.read(size)
        self.heard += body
        return body

    def exchange(self, stream) -> bool:
        head = []
        while line := self.line(stream):
            head.append(line.decode("latin-1"))
        if not head:
            return False
        fields = {k.lower(): v for k, v in (h.split(": ", 1) for h in head[1:] if ": " in h)}
        body = b""
        if "transfer-encoding" in fields:
            while size := int(self.line(stream), 16):
                body += self.body(stream, size)
                self.line(stream)
            while self.line(stream):
                pass
        elif "content-length" in fields:
            body = self.body(stream, int(fields["content-length"]))
        path = head[0].split(" ")[1]
        said = json.dumps({"head": head, "md5": hashlib.md5(body).hexdigest(), "length": len(body)}).encode()
        if path.startswith("/raw/"):
            stream.write(bytes.fromhex(path[5:]))
            return False
        if path == "/chunked":
            stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(0, len(said), 7):
                piece = said[i:i + 7]
                stream.write(b"%x;i=%d\r\n%b\r\n" % (len(piece), i, piece))
                stream.flush()
            stream.write(b"0\r\nX-Trailer: t\r\n\r\n")
        elif path == "/close":
            stream.write(b"HTTP/1.1 200 OK\r\n\r\n" + said)
            stream.flush()
            return False
        else:
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        stream.flush()
        return True
