"""A web server: nginx in a host of its own."""

from __future__ import annotations

import pathlib
from typing import Optional

from .host import Host, Process, command, until

CONFIG = """\
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    log_format seen '$remote_addr "$request" $status "$http_x_forwarded_for"';
    access_log {dir}/access.log seen;
    default_type text/plain;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen {port} reuseport backlog=4096;
        listen [::]:{port} reuseport backlog=4096;
        {tls}
        root {dir}/www;
        add_header X-Server {name} always;
        location = / {{ return 200 "{name}\\n"; }}
        location = /health {{
            if (-f {dir}/sick) {{ return 503 "sick\\n"; }}
            return 200 "well\\n";
        }}
    }}
}}
"""


class Server(Host):
    """GET / answers its name, /health its health, /files/N a file of N bytes; with `tls` on port 443 as well."""

    def __init__(self, lab, name: str, switch, number: int, port: int = 80, tls: bool = False):
        super().__init__(lab, name)
        self.port, self.tls = port, tls
        self.eth = self.attach(switch, "eth0", *switch.address(number))
        self.ip4, self.ip6, self.mac = self.eth.ip, self.eth.ip6, self.eth.mac
        self.dir: pathlib.Path = lab.dir / name
        (self.dir / "www" / "files").mkdir(parents=True)
        for size in (128, 16384, 131072, 1 << 20):
            (self.dir / "www" / "files" / str(size)).write_bytes(b"x" * (size - 1) + b"\n")
        self.config = self.dir / "nginx.conf"
        self.config.write_text(CONFIG.format(dir=self.dir, name=name, port=port, tls=self.secured() if tls else ""))
        self.process: Optional[Process] = None
        self.serve()

    def secured(self) -> str:
        key, cert = self.dir / "key.pem", self.dir / "cert.pem"
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 9,
                "-subj", f"/CN={self.name}", "-keyout", key, "-out", cert)
        return f"listen 443 ssl; ssl_certificate {cert}; ssl_certificate_key {key};"

    def serve(self) -> None:
        self.process = self.start("nginx", "-p", self.dir, "-e", self.dir / "error.log",
                                  "-c", self.config)
        until(self.listening, f"{self.name} listens on port {self.port}")

    def listening(self) -> bool:
        assert self.process and self.process.running(), f"nginx ended: {self.process.tail()}"
        # It takes them one after the other: both families, and that of TLS.
        taken = self.run("ss", "-Hltn").stdout
        return taken.count(f":{self.port} ") >= 2 and (not self.tls or ":443 " in taken)

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def fall_sick(self) -> None:
        """From now on /health answers 503."""
        (self.dir / "sick").touch()

    def recover(self) -> None:
        (self.dir / "sick").unlink(missing_ok=True)

    def requests(self, path: str = "/") -> list[str]:
        """The lines of the log for this path: `client "request" status "x-forwarded-for"`."""
        log = self.dir / "access.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if f" {path} HTTP/" in line]
