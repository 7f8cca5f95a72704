"""HAProxy and nginx of the distribution as reverse proxies, where an engine would stand."""

from __future__ import annotations

import pathlib

from lab.host import Host, Process, command, until
from lab.server import Server

HAPROXY = """\
global
    nbthread 1
    maxconn 7000
    tune.ssl.cachesize 0
defaults
    mode http
    option forwardfor
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option splice-response
    http-reuse safe
frontend front
    bind {ip}:80
    bind {ip}:443 ssl crt {pem} no-tls-tickets
    default_backend back
backend back
    balance roundrobin
{servers}
"""

# What moves bytes without looking at them. Of its ways (copied, spliced, larger buffers) the one that costs it least here.
HAPROXY_L4 = HAPROXY.replace("mode http", "mode tcp").replace("maxconn 7000", "maxconn 7000\n    tune.bufsize 131072").replace(
    "    option forwardfor\n", "").replace("    http-reuse safe\n", "")

NGINX = """\
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream back {{
{servers}
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen {ip}:80;
        listen {ip}:443 ssl;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache off;
        ssl_session_tickets off;
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


def certificate(lab) -> pathlib.Path:
    """Key and certificate in one file, the same for everybody: a key on P-256, as most have now."""
    path: pathlib.Path = lab.dir / "bench.pem"
    if not path.exists():
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "30", "-subj", "/CN=bench.example", "-keyout", lab.dir / "bench.key", "-out", lab.dir / "bench.crt")
        path.write_text((lab.dir / "bench.crt").read_text() + (lab.dir / "bench.key").read_text())
    return path


class Peer(Host):
    """Between the clients' and the servers' network, one worker, no request log."""

    def __init__(self, lab, name: str, number: int, servers: list[Server], config: str, line: str,
                 argv: list[str]):
        super().__init__(lab, name)
        self.front = self.attach(lab.front, "front0", *lab.front.address(number))
        self.back = self.attach(lab.back, "back0", *lab.back.address(number))
        self.url = f"http://{self.front.ip}/"
        self.dir: pathlib.Path = lab.dir / name
        self.dir.mkdir()
        lines = "\n".join(line.format(n=n, ip=server.ip4, port=server.port)
                          for n, server in enumerate(servers))
        path = self.dir / f"{name}.conf"
        path.write_text(config.format(dir=self.dir, ip=self.front.ip, servers=lines,
                                      pem=certificate(lab)))
        self.process: Process = self.start(*(word.format(dir=self.dir, config=path)
                                             for word in argv))
        until(self.listening, f"{name} listens")

    def listening(self) -> bool:
        assert self.process.running(), self.process.tail()
        return bool(self.run("ss", "-Hltn", "sport = :80").stdout)


def haproxy(lab, servers: list[Server]) -> Peer:
    return lab._host(Peer(lab, "haproxy", 31, servers, HAPROXY,
                          "    server s{n} {ip}:{port}", ["haproxy", "-db", "-f", "{config}"]))


def haproxy_l4(lab, servers: list[Server]) -> Peer:
    return lab._host(Peer(lab, "haproxy", 33, servers, HAPROXY_L4,
                          "    server s{n} {ip}:{port}", ["haproxy", "-db", "-f", "{config}"]))


def nginx(lab, servers: list[Server]) -> Peer:
    return lab._host(Peer(lab, "nginx", 32, servers, NGINX, "        server {ip}:{port};",
                          ["nginx", "-p", "{dir}", "-e", "{dir}/error.log", "-c", "{config}"]))
