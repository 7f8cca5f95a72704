"""Certificates by the API: uploaded, made, requested; judged; their keys seen by nobody."""

import base64
import json
import re
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from contract import Controller, error, server, vip
from lab.host import until
from pki import Identity

VIRTUALSERVICE, CA = "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "SSL_CERTIFICATE_TYPE_CA"
FORMS = ("certificate", "certificate_signing_request", "serial_number")


@pytest.fixture(scope="module")
def root():
    return Identity("Lab root")


def upload(name: str, identity: Identity, kind: str = VIRTUALSERVICE, **more) -> dict:
    return {"name": name, "type": kind, "key": identity.key, "certificate": {"certificate": identity.certificate}, **more}


def read(admin, made: dict) -> dict:
    return admin.get(f"sslkeyandcertificate/{made['uuid']}").json()


def seen_by(controller, authority=None):
    """Name and number of what the API shows to a new client, who believes AUTHORITY alone."""
    context = ssl.create_default_context(cadata=authority.certificate if authority else (controller.data / "ca.pem").read_text())
    host, port = controller.host.split(":")
    with socket.create_connection((host, int(port)), 10) as s, context.wrap_socket(s, server_hostname=host) as tls:
        cert = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
        return cert.subject.rfc4514_string().split("CN=")[1].split(",")[0], cert.serial_number


def test_the_api_shows_the_operator_s_certificate(tmp_path, root):
    """Put in place of the controller's own by the playbook of the first day, renewed, kept through a restart, taken away."""
    controller = Controller(tmp_path).start()
    admin, own = controller.session(), seen_by(controller)
    portal = "portal_configuration"
    first, second = (Identity(cn, by=root, names=("127.0.0.1",), bits=bits) for cn, bits in (("api one", 0), ("api two", 2048)))
    made = admin.make("sslkeyandcertificate", **upload("api", first, "SSL_CERTIFICATE_TYPE_SYSTEM"))
    pending = admin.make("sslkeyandcertificate", name="pending", certificate={"subject": {"common_name": "pending"}})
    refs = {"sslkeyandcertificate_refs": [made["url"], "/api/sslkeyandcertificate?name=System-Default-Portal-Cert-EC256"],
            "sslprofile_ref": "/api/sslprofile?name=System-Standard-Portal"}
    with controller.tls() as before:
        answer = admin.patch("systemconfiguration", {"replace": {portal: refs}})
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Spanwire-Inert"] == f"{portal}.sslprofile_ref"
        assert seen_by(controller, root) == ("api one", first.x509.serial_number)
        # Who came before goes on.
        before.sendall(b"GET /api/initial-data HTTP/1.1\r\nHost: api\r\n\r\n")
        assert before.recv(15) == b"HTTP/1.1 200 OK"
    answer = admin.put(f"sslkeyandcertificate/{made['uuid']}", upload("api", second, "SSL_CERTIFICATE_TYPE_SYSTEM"))
    assert answer.status_code == 200 and seen_by(controller, root)[0] == "api two"
    error(admin.delete(f"sslkeyandcertificate/{made['uuid']}"), 412)
    said = error(admin.patch("systemconfiguration", {"replace": {portal: {"sslkeyandcertificate_refs": [pending["url"]]}}}), 400)
    assert said.startswith(f"{portal}.sslkeyandcertificate_refs[0]: ")
    controller.kill()
    controller.start()
    assert seen_by(controller, root)[0] == "api two"
    assert controller.session().patch("systemconfiguration", {"replace": {portal: {}}}).status_code == 200
    assert seen_by(controller) == own
    assert controller.stop() == 0


def test_an_upload_is_read_and_its_key_kept_back(admin, root):
    shop = Identity("shop", by=root, names=("shop.example", "10.0.0.1"), bits=2048, days=90)
    made = admin.make("sslkeyandcertificate", **upload("shop", shop))
    have = read(admin, made)
    cert = have["certificate"]
    assert have["key"] == "<sensitive>" and have["status"] == "SSL_CERTIFICATE_FINISHED"
    assert cert["certificate"] == shop.certificate
    assert cert["subject"] == {"common_name": "shop", "organization": "Lab", "distinguished_name": "CN=shop, O=Lab"}
    assert cert["issuer"]["common_name"] == "Lab root" and not cert["self_signed"] and not cert["chain_verified"]
    assert cert["not_after"] == shop.x509.not_valid_after.strftime("%Y-%m-%d %H:%M:%S")
    assert cert["serial_number"] == str(shop.x509.serial_number) and cert["version"] == "2"
    assert cert["subject_alt_names"] == ["shop.example", "10.0.0.1"]
    assert cert["signature_algorithm"] == "ecdsa-with-SHA256"
    assert cert["key_params"] == {"algorithm": "SSL_KEY_ALGORITHM_RSA",
                                  "rsa_params": {"key_size": "SSL_KEY_2048_BITS", "exponent": 65537}}
    assert have["key_params"] == cert["key_params"]
    assert cert["expiry_status"] == "SSL_CERTIFICATE_GOOD" and cert["days_until_expire"] == 89
    assert cert["fingerprint"] == "SHA1 Fingerprint=" + shop.x509.fingerprint(hashes.SHA1()).hex(":").upper()
    assert "Subject: " in cert["text"] and cert["public_key"].startswith("-----BEGIN PUBLIC KEY-----")
    assert have["ca_certs"] == [{"name": "Lab root"}]
    # What was read is written back without a change, as it came and without its key.
    have_of = {k: v for k, v in have.items() if k != "_last_modified"}
    for body in (have, {k: v for k, v in have_of.items() if k != "key"}):
        back = admin.put(f"sslkeyandcertificate/{made['uuid']}", body).json()
        assert {k: v for k, v in back.items() if k not in ("_last_modified", "url", "tenant_ref")} == \
            {k: v for k, v in have.items() if k not in ("_last_modified", "url", "tenant_ref")}
    patched = admin.patch(f"sslkeyandcertificate/{made['uuid']}", {"replace": {"key_base64": False}})
    assert patched.status_code == 200
    # A key behind a pass phrase.
    locked = upload("locked", shop, key=shop.locked("open sesame"), key_passphrase="open sesame")
    assert read(admin, admin.make("sslkeyandcertificate", **locked))["key_passphrase"] == "<sensitive>"


def packed(name: str, one: Identity, *chain: Identity, passphrase: str = "sesame", **more) -> dict:
    """A PKCS #12 file, as tools of Windows and Java make it."""
    raw = pkcs12.serialize_key_and_certificates(b"x", one.secret, one.x509, [c.x509 for c in chain] or None,
                                                serialization.BestAvailableEncryption(b"sesame"))
    return {"name": name, "format": "SSL_PKCS12", "key": base64.b64encode(raw).decode(), "key_base64": True,
            "key_passphrase": passphrase, "certificate": {"certificate": ""}, **more}


def test_keys_come_in_other_forms(admin, root):
    one = Identity("forms", by=root)
    der = one.x509.public_bytes(serialization.Encoding.DER)
    key = one.secret.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    locked = one.secret.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                      serialization.BestAvailableEncryption(b"sesame"))

    def text(raw: bytes) -> str:
        return base64.encodebytes(raw).decode()
    both = {"key_base64": True, "certificate_base64": True}
    bodies = [
        upload("p12", one) | packed("p12", one, root),
        packed("p12 as a certificate", one, certificate={"certificate": packed("", one)["key"]}, key=""),
        upload("pem", one, key=text(one.key.encode()), certificate={"certificate": text(one.certificate.encode())}, **both),
        upload("der", one, key=text(key), certificate={"certificate": text(der)}, **both),
        upload("locked der", one, key=text(locked), key_passphrase="sesame", key_base64=True),
        upload("said wrongly", one, **both),
    ]
    for body in bodies:
        made = admin.make("sslkeyandcertificate", **body)
        have = read(admin, made)
        assert have["certificate"]["certificate"].startswith(one.certificate), body["name"]
        assert have["certificate"]["subject"]["common_name"] == "forms" and have["key"] == "<sensitive>"
        assert have.get("format", "SSL_PEM") == body.get("format", "SSL_PEM")
        # What was said is what is read, and is written back without a change.
        assert have["key_base64"] == body.get("key_base64", False)
        back = admin.put(f"sslkeyandcertificate/{made['uuid']}", have).json()
        assert back["certificate"] == have["certificate"]
        changed = admin.patch(f"sslkeyandcertificate/{made['uuid']}", {"replace": {"key": body["key"] or one.key}})
        assert changed.status_code == 200, changed.text
    assert read(admin, admin.get("sslkeyandcertificate?name=p12").json()["results"][0])["certificate"]["certificate"] == \
        one.certificate + root.certificate


def test_what_cannot_be_served_is_refused_in_words(admin, root):
    one, other = Identity("one", by=root), Identity("other", by=root)
    weak, old = Identity("weak", by=root, bits=1024), Identity("old", by=root, digest=hashes.SHA1())
    cases = [
        (upload("x", one, key=other.key), "key: The key does not belong to the certificate."),
        (upload("x", one, key="nonsense"), "key: It is no private key in PEM."),
        (upload("x", one, key=one.locked("right"), key_passphrase="wrong"), "key: The pass phrase does not open the key."),
        (upload("x", one, key=one.locked("right")), "key: The pass phrase does not open the key."),
        (upload("x", one, key=""), "key: A certificate that is shown to others needs its private key."),
        (upload("x", one, certificate={"certificate": "nonsense"}), "certificate.certificate: It is no certificate in PEM."),
        (upload("x", one, certificate={}), "certificate.certificate: Give a certificate in PEM, or a subject"),
        (upload("x", weak), "key: An RSA key of 1024 bits is too short: it needs 2048."),
        (upload("x", old), "certificate.certificate: The certificate is signed with SHA-1"),
        (packed("x", one, passphrase="wrong"), "key_passphrase: The pass phrase does not open the PKCS #12 file."),
        (packed("x", one, key=base64.b64encode(b"nonsense").decode()), "key: It is no PKCS #12 file in base64."),
        (packed("x", one, key="n!nsense"), "key: It is no base64."),
        (upload("x", one, key=base64.b64encode(b"nonsense").decode(), key_base64=True), "key: It is no private key"),
        (upload("x", one, certificate={"certificate": "AAAA"}, certificate_base64=True),
         "certificate.certificate: It is no certificate."),
        ({"name": "x", "certificate": {"subject": {"common_name": "x", "country": "too long"}}}, "certificate.subject.country"),
        ({"name": "x", "certificate": {"subject": {"common_name": "x"}, "subject_alt_names": ["a b"]}},
         "certificate.subject_alt_names: \"a b\" is no name or address."),
        ({"name": "x", "certificate": {"subject": {"common_name": "x"}}, "key_params": {
            "algorithm": "SSL_KEY_ALGORITHM_RSA", "rsa_params": {"key_size": "SSL_KEY_1024_BITS"}}},
         "key_params.rsa_params.key_size: A key has 2048, 3072 or 4096 bits."),
    ]
    for body, says in cases:
        text = error(admin.post("sslkeyandcertificate", body), 400)
        assert text.startswith(says), text
    assert not [o for o in admin.get("sslkeyandcertificate").json()["results"] if o["name"] == "x"]
    for profile, says in [({"accepted_ciphers": "RC4"}, 'accepted_ciphers: "RC4" holds no cipher'),
                          ({"ec_named_curve": "round"}, "ec_named_curve:"), ({"dhparam": "none"}, "dhparam:"),
                          ({"cipher_enums": ["TLS_RSA_WITH_3DES_EDE_CBC_SHA"]}, "cipher_enums: None of these")]:
        body = {"name": "p", "accepted_versions": [{"type": "SSL_VERSION_TLS1_2"}], **profile}
        assert error(admin.post("sslprofile", body), 400).startswith(says), profile
    # What a dozen years of configurations list beside what is spoken.
    answer = admin.post("sslprofile", {"name": "old", "accepted_versions": [
        {"type": f"SSL_VERSION_{v}"} for v in ("TLS1", "TLS1_1", "TLS1_2")]})
    assert answer.status_code == 201 and len(answer.json()["accepted_versions"]) == 3
    told = answer.headers["X-Spanwire-Warning"]
    assert "accepted_versions[0].type: SSL_VERSION_TLS1 is never spoken" in told and "accepted_versions[1].type: " in told and \
        "TLS1_2" not in told
    assert admin.delete(f"sslprofile/{answer.json()['uuid']}").status_code == 204
    # Alone it is stored, as examples have it, and good for nobody.
    oldest = admin.make("sslprofile", name="oldest", accepted_versions=[{"type": "SSL_VERSION_TLS1"}], cipher_enums=[
        "TLS_RSA_WITH_AES_128_CBC_SHA"])
    text = error(admin.post("virtualservice", {"name": "v", "services": [{"port": 443, "enable_ssl": True}], "ssl_profile_ref": oldest["url"],
                                               "ssl_key_and_certificate_refs": ["/api/sslkeyandcertificate?name=System-Default-Cert"]}), 400)
    assert text.startswith("ssl_profile_ref: SSLProfile 'oldest' cannot be used yet: accepted_versions: None of them is built"), text
    assert admin.delete(f"sslprofile/{oldest['uuid']}").status_code == 204
    bad = {"name": "p", "ca_certs": [{"certificate": root.certificate}, {"certificate": "nonsense"}]}
    assert error(admin.post("pkiprofile", bad), 400).startswith("ca_certs[1].certificate: It is no certificate")


def test_certificates_are_made_here(admin):
    made = admin.make("sslkeyandcertificate", name="made", certificate={
        "self_signed": True, "days_until_expire": 30, "subject": {"common_name": "made.example", "organization": "Lab"},
        "subject_alt_names": ["made.example", "fd00::1"]},
        key_params={"algorithm": "SSL_KEY_ALGORITHM_EC", "ec_params": {"curve": "SSL_KEY_EC_CURVE_SECP384R1"}})
    have = read(admin, made)
    cert = x509.load_pem_x509_certificate(have["certificate"]["certificate"].encode())
    assert cert.subject.rfc4514_string() == "CN=made.example,O=Lab" and cert.public_key().curve.name == "secp384r1"
    assert have["certificate"]["subject_alt_names"] == ["made.example", "fd00::1"] and have["certificate"]["self_signed"]
    assert have["certificate"]["days_until_expire"] == 30 and have["certificate"]["chain_verified"]
    assert have["certificate"]["expiry_status"] == "SSL_CERTIFICATE_EXPIRY_WARNING"
    again = admin.post(f"sslkeyandcertificate/{made['uuid']}/renew", {})
    assert again.status_code == 200, again.text
    renewed = read(admin, made)["certificate"]
    assert renewed["serial_number"] != have["certificate"]["serial_number"]
    assert renewed["public_key"] == have["certificate"]["public_key"]
    assert [e for e in events(admin, "SSL_CERT_RENEW") if e["obj_uuid"] == made["uuid"]]


def test_a_signing_request_waits_for_its_answer(admin, root):
    made = admin.make("sslkeyandcertificate", name="asked", type=VIRTUALSERVICE,
                      certificate={"subject": {"common_name": "asked.example"}},
                      key_params={"algorithm": "SSL_KEY_ALGORITHM_EC", "ec_params": {}})
    have = read(admin, made)
    assert have["status"] == "SSL_CERTIFICATE_PENDING" and "certificate" not in have["certificate"]
    use = {"name": "early", "vip": [vip("10.7.0.1")], "services": [{"port": 443, "enable_ssl": True}],
           "ssl_key_and_certificate_refs": [made["url"]]}
    assert "was not answered yet" in error(admin.post("virtualservice", use), 400)
    answer = Identity("asked", by=root, csr=have["certificate"]["certificate_signing_request"], names=("asked.example",))
    stranger = Identity("asked", by=root)
    have["certificate"]["certificate"] = stranger.certificate
    assert "key: The key does not belong" in error(admin.put(f"sslkeyandcertificate/{made['uuid']}", have), 400)
    have["certificate"]["certificate"] = answer.certificate
    assert admin.put(f"sslkeyandcertificate/{made['uuid']}", have).json()["status"] == "SSL_CERTIFICATE_FINISHED"
    assert admin.post("virtualservice", use).status_code == 201
    for body, says in (({"services": [{"port": 444, "enable_ssl": True}], "ssl_key_and_certificate_refs": []}, "TLS needs a certificate"),
                       ({"application_profile_ref": "/api/applicationprofile?name=System-L4-Application"}, "passes bytes as they are"),
                       ({"application_profile_ref": "/api/applicationprofile?name=System-SSL-Application",
                         "services": [{"port": 80}]}, "is for TLS: enable it")):
        assert says in error(admin.post("virtualservice", {**use, "name": "wrong", "vip": [vip("10.7.0.2")], **body}), 400)


@pytest.mark.parametrize("certificate", [{"self_signed": True, "days_until_expire": 40}, {}], ids=["self-signed", "request"])
def test_who_writes_a_made_one_again_takes_no_key_from_its_users(admin, root, certificate):
    """A playbook that changes the description sends all that it says of the certificate, and no key."""
    body = {"name": f"again{len(certificate)}", "certificate": {**certificate, "subject": {"common_name": "again.example", "organization": "Lab"},
                                                                "subject_alt_names": ["again.example", "10.0.0.1"]},
            "key_params": {"algorithm": "SSL_KEY_ALGORITHM_EC", "ec_params": {"curve": "SSL_KEY_EC_CURVE_SECP256R1"}}}
    made = admin.make("sslkeyandcertificate", **body)
    path, have = f"sslkeyandcertificate/{made['uuid']}", read(admin, made)

    def written(method, what):
        answer = admin.send(method, path, what)
        assert answer.status_code == 200, answer.text
        return read(admin, made)

    assert written("PUT", body) == have and written("PATCH", {"replace": body}) == have
    if not certificate:
        signed = Identity("again", by=root, csr=have["certificate"]["certificate_signing_request"], names=("again.example",))
        have["certificate"]["certificate"] = signed.certificate
        have = written("PUT", have)
        assert have["status"] == "SSL_CERTIFICATE_FINISHED"
    described = written("PUT", {**body, "key_passphrase": ""})["certificate"]
    assert [described.get(f) for f in FORMS] == [have["certificate"].get(f) for f in FORMS]

    of = "certificate" if certificate else "certificate_signing_request"
    seen = {have["certificate"][of]}
    for change in ({"subject": {"common_name": "other.example"}}, {"subject_alt_names": ["again.example"]}, {"days_until_expire": 41}):
        if certificate or "days_until_expire" not in change:
            seen.add(written("PUT", {**body, "certificate": {**body["certificate"], **change}})["certificate"][of])
    seen.add(written("PUT", {**body, "key_params": {"algorithm": "SSL_KEY_ALGORITHM_EC", "ec_params": {"curve": "SSL_KEY_EC_CURVE_SECP384R1"}}})
             ["certificate"][of])
    assert len(seen) == (5 if certificate else 4)


def test_a_macro_makes_no_certificate_twice(admin):
    def one(cn, **more):
        return {"name": f"macro-{cn}", "certificate": {"self_signed": True, "subject": {"common_name": cn}},
                "key_params": {"algorithm": "SSL_KEY_ALGORITHM_EC"}, **more}

    body = {"model_name": "VirtualService", "data": {
        "name": "by-macro", "services": [{"port": 443, "enable_ssl": True}], "vsvip_ref_data": {"name": "by-macro", "vip": [vip("10.7.0.9")]},
        "ssl_key_and_certificate_refs_data": [one("first.example"), one("second.example")]}}

    def serials():
        found = [admin.find("sslkeyandcertificate", f"macro-{n}.example") for n in ("first", "second", "third")]
        return [f["certificate"]["serial_number"] for f in found if f]

    assert admin.post("macro", body).status_code == 201
    first, second = serials()
    assert first != second and admin.put("macro", body).status_code == 200 and serials() == [first, second]
    body["data"]["ssl_key_and_certificate_refs_data"] = [one("third.example"), one("second.example"), one("first.example", format="SSL_PEM")]
    assert admin.put("macro", body).status_code == 200 and serials()[:2] == [first, second] and len(serials()) == 3


def test_of_two_certificates_for_the_same_clients_one_is_never_shown(admin, root):
    first, same, other = (Identity(cn, by=root, names=names) for cn, names in (
        ("a", ("twin.example",)), ("b", ("twin.example",)), ("c", ("other.example",))))
    urls = [admin.make("sslkeyandcertificate", **upload(name, one))["url"]
            for name, one in (("twin-1", first), ("twin-2", same), ("other", other))]
    pool = admin.make("pool", name="twins", servers=[server("10.0.0.1")])
    body = {"name": "twins", "vip": [vip("10.7.0.3")], "services": [{"port": 443, "enable_ssl": True}], "pool_ref": pool["url"]}
    answer = admin.post("virtualservice", {**body, "ssl_key_and_certificate_refs": urls})
    assert answer.headers["X-Spanwire-Warning"] == ("ssl_key_and_certificate_refs[1]: Certificate 'twin-2' has the names and the type of "
                                                    "key of 'twin-1' before it, and is shown to nobody.")
    answer = admin.patch(f"virtualservice/{answer.json()['uuid']}", {"replace": {"ssl_key_and_certificate_refs": urls[1:]}})
    assert answer.status_code == 200 and "X-Spanwire-Warning" not in answer.headers


def events(admin, name: str) -> list[dict]:
    found = admin.get("analytics/logs?type=2&page_size=1000&filter=eq(event_id,%s)" % name).json()["results"]
    return [e for e in found if e["event_id"] == name]


def test_chains_and_ends_are_found_and_told(admin, root):
    ca = admin.make("sslkeyandcertificate", **upload("root ca", root, CA, key=""))
    leaf = Identity("leaf", by=root)
    have = read(admin, admin.make("sslkeyandcertificate", **upload("leaf", leaf)))
    assert have["ca_certs"] == [{"ca_ref": ca["url"].split("#")[0], "name": "root ca"}]
    assert have["certificate"]["chain_verified"]
    assert "referred by" in error(admin.delete(f"sslkeyandcertificate/{ca['uuid']}"), 412)
    soon, gone = Identity("soon", by=root, days=5), Identity("gone", by=root, since=-9, days=-2)
    soon = admin.make("sslkeyandcertificate", **upload("soon", soon))
    gone = admin.make("sslkeyandcertificate", **upload("gone", gone))
    assert read(admin, soon)["certificate"]["expiry_status"] == "SSL_CERTIFICATE_EXPIRY_WARNING"
    have = read(admin, gone)
    assert have["certificate"]["expiry_status"] == "SSL_CERTIFICATE_EXPIRED"
    assert admin.put(f"sslkeyandcertificate/{gone['uuid']}", have).status_code == 200
    until(lambda: {e["obj_uuid"] for e in events(admin, "SSL_CERT_EXPIRE")} >= {soon["uuid"], gone["uuid"]}, "both are told")
    told = [e["event_description"] for e in events(admin, "SSL_CERT_EXPIRE")]
    assert len([t for t in told if t.startswith("Certificate gone has expired")]) == 1
    assert len([t for t in told if t.startswith("Certificate soon expires in 4 days")]) == 1


def test_a_fresh_controller_has_certificates_and_nobody_reads_their_keys(tmp_path):
    controller = Controller(tmp_path).start()
    admin = controller.session()
    names = {o["name"]: o for o in admin.get("sslkeyandcertificate").json()["results"]}
    assert set(names) == {"System-Default-Root-CA", "System-Default-Cert", "System-Default-Cert-EC", "System-Default-Portal-Cert",
                          "System-Default-Portal-Cert-EC256", "System-Default-Secure-Channel-Cert"}
    assert names["System-Default-Cert"]["certificate"]["chain_verified"]
    one = Identity("one")
    made = admin.make("sslkeyandcertificate", **upload("one", one, key=one.locked("phrase-to-find"), key_passphrase="phrase-to-find"))
    admin.put(f"sslkeyandcertificate/{made['uuid']}", {**read(admin, made), "name": "renamed"})
    everything = admin.get("sslkeyandcertificate?page_size=100").text + admin.get("analytics/logs?type=2&page_size=1000").text
    assert controller.stop() == 0
    body = "".join(one.key.split("\n")[1:-2])
    raw = base64.b64decode(body)
    files = {p: p.read_bytes() for p in controller.data.rglob("*") if p.is_file()}
    files["said"] = everything.encode()
    for path, data in files.items():
        for secret in (body[:60].encode(), raw[36:60], b"phrase-to-find"):
            assert secret not in data, (path, secret)
        if str(path).endswith(("ca.key", "server.key")):
            continue
        assert b"BEGIN PRIVATE KEY" not in data and b"BEGIN ENCRYPTED" not in data, path
    # The same file with another key is not opened, and nothing is lost by the attempt.
    kek = controller.data / "kek"
    was = kek.read_text()
    kek.write_text("0" * 64 + "\n")
    with pytest.raises(AssertionError):
        Controller(tmp_path).start()
    kek.write_text(was)
    again = Controller(tmp_path).start()
    assert read(again.session(), made)["name"] == "renamed"
    assert again.stop() == 0
