"""What configuration tools do with an object, call by call: the Ansible collection, the Terraform provider, the Go SDK."""

import csv
import re

from contract import ROOT, error


class Ansible:
    """One task: a login of its own, a look by name, and a write only when the object differs."""

    def __init__(self, controller, tenant="admin"):
        self.controller, self.tenant = controller, tenant

    def task(self, kind, state="present", method="put", **body):
        """'ok' or 'changed', and the object."""
        s = self.controller.session(tenant=self.tenant, version="18.2.6")
        query = "include_refs=&include_name="
        if "cloud_ref" in body:
            query += "&cloud_ref.name=" + body["cloud_ref"].split("name=")[1]
        listed = s.get(f"{kind}?{query}&name={body['name']}")
        assert listed.status_code == 200, listed.text
        found = listed.json()["results"] if listed.json()["count"] else []
        if state == "absent":
            if not found:
                return "ok", None
            found = s.get(f"{kind}?name={body['name']}").json()["results"]
            assert s.delete(f"{kind}/{found[0]['uuid']}").status_code == 204
            return "changed", None
        if not found:
            answer = s.post(kind, body)
            assert answer.status_code == 201, answer.text
            return "changed", answer.json()
        if "tenant_ref" in body:
            assert found[0]["tenant_ref"].split("#")[1]
        if method == "put" and same(body, found[0]):
            return "ok", found[0]
        path = f"{kind}/{found[0]['uuid']}"
        if method == "put":
            answer = s.put(path, body)
        else:
            answer = s.patch(path, {method: {k: v for k, v in body.items() if k != "name"}})
        assert answer.status_code == 200, answer.text
        # What a PATCH did is told by its answer.
        quiet = method != "put" and same(answer.json(), found[0])
        return "ok" if quiet else "changed", answer.json()


def same(want, have):
    """The collection's own comparison: what the task says is contained in what is there; nothing that it says is compared as text."""
    if isinstance(want, dict):
        said = {k: v for k, v in want.items() if not says_nothing(k, v, have)}
        return isinstance(have, dict) and all(k in have and same(v, have[k]) for k, v in said.items() if k != "_last_modified")
    if isinstance(want, list):
        return len(want) == len(have) and all(map(same, want, have))
    if not isinstance(want, str):
        return want == have
    if isinstance(have, (int, float)):
        return want == str(have)
    if re.match(r"/api/[\w/]+\?name=[\w*]+[^#<>]*$", want):
        want = want.split("name=")[1]
    elif re.match(r"https://[\w.:-]+/api/.", want):
        want, have = want.rsplit("#", 1)[0], have.rsplit("#", 1)[0]
    uuid, _, name = have.split("/")[-1].rpartition("#")
    return want in (have, uuid, name)


def says_nothing(field, value, have):
    if value is None or value == {}:
        return True
    if isinstance(value, dict) and value.get("state") == "absent":
        return field not in have
    return value in ([], "") and field not in have


def schema():
    """The contract's messages, {message: {field: row}}, and the message of each kind."""
    messages, kinds = {}, {}
    with open(ROOT / "tests" / "data" / "avi-schema.tsv", encoding="utf-8") as f:
        for row in csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE):
            messages.setdefault(row["message"], {})[row["field"]] = row
            if row["kind"]:
                kinds[row["kind"]] = row["message"]
    return messages, kinds


class Structs:
    """The models of the Go SDK: a value of another type than the field's ends the decoding of the whole answer."""
    WIDTH = {"uint32": (0, 2 ** 32), "int32": (-2 ** 31, 2 ** 31), "uint64": (0, 2 ** 64), "int64": (-2 ** 63, 2 ** 63)}
    TYPES = {"string": str, "bool": bool, "float": (int, float), "double": (int, float)}

    def __init__(self):
        self.messages, self.kinds = schema()

    def misfits(self, kind, answer):
        return list(self.walk(self.kinds[kind], answer, kind)) if kind in self.kinds else []

    def walk(self, message, answer, at):
        for name, value in answer.items():
            row, path = self.messages[message].get(name), f"{at}.{name}"
            if not row:
                continue
            if row["card"] == "list" and not isinstance(value, list):
                yield path
            for v in value if row["card"] == "list" else [value]:
                if row["type"] in self.messages and isinstance(v, dict):
                    yield from self.walk(row["type"], v, path)
                elif not self.fits(row["type"], v):
                    yield f"{path}: {v!r}"

    def fits(self, kind, value):
        if kind in self.WIDTH:
            low, high = self.WIDTH[kind]
            return type(value) is int and low <= value < high
        return isinstance(value, self.TYPES.get(kind, dict)) and (kind == "bool" or not isinstance(value, bool))


class Terraform:
    """A resource: every default of the schema is sent, and what a plan compares is text."""

    def __init__(self, session, model):
        self.session = session
        self.messages, self.kinds = model["messages"], {k["kind"]: k for k in model["kinds"]}

    def field(self, message, name):
        return next((f for f in self.messages[message]["fields"] if f["name"] == name), None)

    def with_defaults(self, message, body):
        """Blocks that are not there stay away; in those that are every default is spelled out."""
        out = {}
        for f in self.messages[message]["fields"]:
            name = f["name"]
            if name in body:
                v = body[name]
                if f["type"] == "message":
                    v = [self.with_defaults(f["message"], i) for i in v] if f.get("list") else \
                        self.with_defaults(f["message"], v)
                out[name] = v
            elif "default" in f and not any(f.get(x) for x in ("read_only", "extension", "list")) \
                    and f["type"] not in ("message", "ref"):
                out[name] = f["default"]
        assert set(body) <= set(out), f"{message} has no {set(body) - set(out)}"
        return out

    def differs(self, message, plan, state, at="", block=False):
        """Paths that a plan would want to change. Nothing in a BLOCK is computed: it says what was asked for, and defaults."""
        out = []
        for name, want in plan.items():
            f = self.field(message, name)
            if f is None or f.get("secret") or f.get("read_only"):
                continue
            path, have = at + name, state.get(name, f.get("default"))
            if f["type"] == "message":
                pairs = [(want, have or {})] if not f.get("list") else list(zip(want, have or []))
                if f.get("list") and len(want) != len(have or []):
                    out.append(path)
                for w, h in pairs:
                    out += self.differs(f["message"], w, h, path + ".", not f.get("list"))
            elif str(want).lower() != str(have).lower() or isinstance(want, list) != isinstance(have, list):
                out.append(f"{path}: {want!r} is {have!r}")
        # What nobody asked for: a list is not computed, and a default is as good as said.
        for name, have in state.items():
            f = self.field(message, name)
            if name not in plan and f and not f.get("read_only") and not f.get("extension") and \
                    (block or f.get("list") or ("default" in f and f["type"] != "ref")) and have != f.get("default"):
                out.append(f"{at}{name}: {have!r} was not asked for")
        return out

    def tenant_name(self, ref):
        """For the header: whoever may not read tenants has it from here."""
        uuid = ref.split("/")[-1].split("#")[0]
        return next(t["name"] for t in self.session.get("user-tenant-list").json()["tenants"] if t["uuid"] == uuid)

    def create(self, kind, **body):
        message = self.kinds[kind]["message"]
        s, headers, cloud = self.session, {}, ""
        if self.kinds[kind].get("tenant"):
            body["tenant_ref"] = s.get("tenant?name=admin").json()["results"][0]["url"]
            # Older providers ask for what stands behind the third slash, newer ones for the tenants of the user.
            assert s.get(s.controller.url + "/" + body["tenant_ref"].split("/", 3)[3]).status_code == 200
            headers = {"X-Avi-Tenant": self.tenant_name(body["tenant_ref"])}
        if self.kinds[kind].get("cloud"):
            body["cloud_ref"] = s.get("cloud?name=Default-Cloud").json()["results"][0]["url"]
            cloud = "&cloud_ref.uuid=" + body["cloud_ref"].split("api/cloud/")[1].split("#")[0]
        plan = self.with_defaults(message, body)
        if "name" in plan:
            # What is there already is taken over by a PUT.
            assert s.get(f"{kind}?name={plan['name']}{cloud}&skip_default=true", headers=headers).json()["count"] == 0
        answer = s.post(kind, {**plan, **({"ignore_servers": False} if kind == "pool" else {})}, headers=headers)
        assert answer.status_code == 201, f"{kind}: {answer.text}"
        return Resource(self, kind, message, plan, answer.json()["url"])


class Resource:
    def __init__(self, terraform, kind, message, plan, url):
        self.t, self.kind, self.message, self.plan = terraform, kind, message, plan
        self.uuid = url.split("#")[0].split("/")[-1]
        self.path = f"{kind}/{self.uuid}"
        self.url = self.read()["url"]

    def read(self):
        answer = self.t.session.get(f"{self.path}?skip_default=true")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def differences(self):
        return self.t.differs(self.message, self.plan, self.read())

    def update(self, **changes):
        self.plan = {**self.plan, **changes}
        answer = self.t.session.put(f"{self.path}?skip_default=true", {**self.plan, **self.kept()})
        assert answer.status_code == 200, f"{self.kind}: {answer.text}"

    def kept(self):
        """Addresses that the controller gave are taken from there, and those of a service always."""
        have = self.t.session.get(self.path).json()
        if self.kind == "virtualservice":
            return {f: have[f] for f in ("vsvip_ref", "vip") if f in have}
        if self.kind == "vsvip" and any(v["auto_allocate_ip"] for v in have["vip"]):
            return {"vip": have["vip"]}
        return {}

    def delete(self):
        assert self.t.session.delete(self.path).status_code == 204
        error(self.t.session.get(f"{self.path}?skip_default=true"), 404)
