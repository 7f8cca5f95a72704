"""What configuration tools do with an object, call by call: the Ansible collection and the Terraform provider."""

import re

from contract import error


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
        if same(body, found[0]):
            return "ok", found[0]
        path = f"{kind}/{found[0]['uuid']}"
        answer = s.put(path, body) if method == "put" else s.patch(path, {method: body})
        assert answer.status_code == 200, answer.text
        return "changed", answer.json()


def same(want, have):
    """The collection's own comparison: what the task says is contained in what is there."""
    if isinstance(want, dict):
        return isinstance(have, dict) and all(k in have and same(v, have[k]) for k, v in want.items())
    if isinstance(want, list):
        return isinstance(have, list) and len(want) == len(have) and all(map(same, want, have))
    if isinstance(want, str) and isinstance(have, str) and re.match(r"(https?://[^/]+)?/api/", want):
        name = re.search(r"[?&]name=([^&#]*)", want)
        return name.group(1) == have.split("#")[-1] if name else want.split("#")[0].endswith(have.split("#")[0].split("/")[-1])
    return type(want) is type(have) and want == have


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

    def differs(self, message, plan, state, at=""):
        """Paths that a plan would want to change."""
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
                    out += self.differs(f["message"], w, h, path + ".")
            elif str(want).lower() != str(have).lower() or isinstance(want, list) != isinstance(have, list):
                out.append(f"{path}: {want!r} is {have!r}")
        return out

    def create(self, kind, **body):
        message = self.kinds[kind]["message"]
        s = self.session
        if self.kinds[kind].get("tenant"):
            body["tenant_ref"] = s.get("tenant?name=admin").json()["results"][0]["url"]
            # The provider asks for what stands behind the third slash.
            assert s.get(s.controller.url + "/" + body["tenant_ref"].split("/", 3)[3]).status_code == 200
        if self.kinds[kind].get("cloud"):
            body["cloud_ref"] = s.get("cloud?name=Default-Cloud").json()["results"][0]["url"]
        plan = self.with_defaults(message, body)
        answer = s.post(kind, {**plan, **({"ignore_servers": False} if kind == "pool" else {})})
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
        answer = self.t.session.put(f"{self.path}?skip_default=true", self.plan)
        assert answer.status_code == 200, f"{self.kind}: {answer.text}"

    def delete(self):
        assert self.t.session.delete(self.path).status_code == 204
        error(self.t.session.get(f"{self.path}?skip_default=true"), 404)
