#!/usr/bin/python3
"""Holds the tables of model/kinds/ to the contract: every field, in both directions.

usage: contract_test.py DUMP TSV    (DUMP: the program that prints the model as JSON)
"""
import csv
import json
import re
import subprocess
import sys

# Where the tables say something else than the rows, on purpose: (message, field, column): reason.
# "*" stands for every message.
DEVIATIONS = {
    ("*", "cloud_ref", "default"): "left out, an object goes to the only cloud that a fresh controller has",
    ("VirtualService", "application_profile_ref", "default"): "a service without profile is System-HTTP",
    ("VirtualService", "network_profile_ref", "default"): "a service without profile is System-TCP-Proxy",
    ("VirtualService", "analytics_profile_ref", "default"): "a service without profile is System-Analytics-Profile",
    ("VirtualService", "se_group_ref", "default"): "the group of a fresh cloud",
    ("VirtualService", "vrf_context_ref", "default"): "the domain of a fresh cloud",
    ("VsVip", "vrf_context_ref", "default"): "the domain of a fresh cloud",
    ("Vip", "vip_id", "default"): "controllers fill in 0",
    ("FailAction", "type", "default"): "the rows have no defaults of required fields",
    ("ApplicationPersistenceProfile", "persistence_type", "default"): "the rows have no defaults of required fields",
    ("DosThresholdProfile", "thresh_period", "default"): "the rows have no defaults of required fields",
    ("StringGroup", "type", "default"): "the rows have no defaults of required fields",
    ("DebugServiceEngine", "name", "required"): "it has the name of its engine",
    ("DebugServiceEngine", "name", "default"): "it has the name of its engine",
    ("NetworkSecurityPolicy", "name", "required"): "without a name it could not be found",
    ("Cloud", "vtype", "default"): "the rows have no defaults of required fields",
    ("NetworkProfileUnion", "type", "default"): "the rows have no defaults of required fields",
    ("BgpProfile", "ibgp", "default"): "the rows have no defaults of required fields",
    ("CompressionProfile", "type", "default"): "the rows have no defaults of required fields",
    ("CompressionProfile", "remove_accept_encoding_header", "default"): "the rows have no defaults of required fields",
    ("LinuxServerConfiguration", "se_sys_disk_size_GB", "default"): "the provider the rows come from dropped it",
    ("LinuxServerConfiguration", "se_log_disk_size_GB", "default"): "the provider the rows come from dropped it",
    ("HealthMonitorHTTP", "http_response_code", "required"): "optional in practice; its list has at least one item",
    ("HealthMonitor", "type", "enum"): "the rows lack HEALTH_MONITOR_SCTP, which has an sctp_monitor",
    ("Cluster", "tenant_ref", "ref"): "the rows lack the kind of this reference",
    # Rows that slipped from another answer into the message.
    ("Cluster", "cluster_state", "field"): "runtime, not configuration",
    ("Cluster", "progress", "field"): "runtime, not configuration",
    ("Cluster", "state", "field"): "runtime, not configuration",
}


def number_text(text):
    """4.0 and 4 are one default."""
    return repr(float(text)) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text


def from_row(row, messages):
    """A row as comparable columns."""
    kind = "message" if row["type"].lower() in messages else row["type"]
    special = [m.group(1) for part in row["special"].split(", ") if (m := re.match(r"(-?\d+|MAX) *-", part))]
    allowed = re.sub(r"\.0\b", "", row["allowed"].replace(" ", ""))
    return {
        "type": row["type"].lower() if kind == "message" else kind,
        "card": row["card"],
        "ref": row["ref"].lower(),
        "required": row["required"] == "yes",
        "default": number_text(row["default"]),
        "allowed": allowed,
        # MAX is the greatest value of a 32-bit field.
        "special": ["4294967295" if s == "MAX" else s for s in special],
        "enum": row["enum"].split("|") if row["enum"] else [],
        "unit": row["unit"],
        "min_items": row["min_items"],
        "max_items": row["max_items"],
        "read_only": row["read_only"] == "yes",
        "deprecated_in": bool(row["deprecated_in"]),
    }


def from_field(field):
    """A field of the model as the same columns."""
    kind = field["type"]
    if kind == "message":
        kind = field["message"].lower()
    elif kind in ("enum", "ref"):
        kind = "string"
    default = field.get("default", "")
    if isinstance(default, bool):
        default = str(default).lower()
    allowed = f"{field['min']}-{field['max']}" if "min" in field else ""
    if "one_of" in field:
        allowed = ",".join(map(str, field["one_of"]))
    return {
        "type": kind,
        "card": "list" if field.get("list") else "one",
        "ref": field.get("ref", ""),
        "required": field.get("required", False),
        "default": number_text(str(default)),
        "allowed": allowed,
        "special": list(map(str, field.get("special", []))),
        "enum": field.get("values", []),
        "unit": field.get("unit", ""),
        "min_items": str(field.get("min_items", "")),
        "max_items": str(field.get("max_items", "")),
        "read_only": field.get("read_only", False),
        "deprecated_in": field.get("deprecated", False),
    }


# Kinds that the contract does not have.
OUR_KINDS = {"capture"}


def main():
    model = json.loads(subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE, timeout=60).stdout)
    with open(sys.argv[2], encoding="utf-8") as f:
        rows = list(csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE))

    ours = {name.lower(): {x["name"]: x for x in m["fields"]} for name, m in model["messages"].items()}
    runtime = {k["message"].lower() for k in model["kinds"] if k.get("runtime")}
    names = {row["message"].lower() for row in rows}
    used, wrong, seen = set(), [], set()

    def differs(message, field, column, text):
        for key in ((message, field, column), ("*", field, column)):
            if key in DEVIATIONS:
                used.add(key)
                return
        wrong.append(f"{message}.{field}: {column}: {text}")

    for row in rows:
        message, field = row["message"], row["field"]
        mine = ours.get(message.lower(), {}).get(field)
        seen.add((message.lower(), field))
        if not mine:
            differs(message, field, "field", "is not in the tables")
            continue
        want, have = from_row(row, names), from_field(mine)
        for column in want:
            if want[column] != have[column]:
                differs(message, field, column, f"the contract has {want[column]!r}, the table {have[column]!r}")

    # Messages that no row knows are reached only from runtime kinds and from extensions.
    reached, todo = set(), list(runtime | OUR_KINDS) + [
        f["message"].lower() for fields in ours.values() for f in fields.values()
        if f.get("extension") and f["type"] == "message"]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [f["message"].lower() for f in ours[name].values() if f["type"] == "message"]
    for message, fields in ours.items():
        if message not in names:
            if message not in reached:
                wrong.append(f"{message}: no row has this message")
            continue
        for field in fields.values():
            if (message, field["name"]) not in seen and not field.get("extension"):
                wrong.append(f"{message}.{field['name']}: is not in the contract and not marked as an extension")
    for row in rows:
        if row["kind"] and row["kind"] not in {k["kind"] for k in model["kinds"]}:
            wrong.append(f"{row['kind']}: no such kind")
    wrong += [f"deviation that deviates no more: {key}" for key in DEVIATIONS if key not in used]

    for line in wrong:
        print(line)
    print(f"{len(rows)} rows, {len(names)} messages, {len(DEVIATIONS)} deviations, {len(wrong)} wrong")
    return bool(wrong) or len(rows) < 2000


if __name__ == "__main__":
    sys.exit(main())
