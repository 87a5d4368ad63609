"""Builds every line of an audit log anew with pycadf, which refuses what is not CADF, and compares."""

import json
import sys

from pycadf import attachment, cadftaxonomy, cadftype, event, resource

KNOWN = ("id", "typeURI", "name")


def built(given):
    made = resource.Resource(**{key: given[key] for key in KNOWN if key in given})
    assert made.is_valid(), given
    assert cadftaxonomy.is_valid_resource(given["typeURI"]), given["typeURI"]
    return made


count = 0
for line in open(sys.argv[1], encoding="utf-8"):
    given = json.loads(line)
    assert given["typeURI"] == cadftype.CADF_VERSION_1_0_0 + "event", given["typeURI"]
    assert cadftaxonomy.is_valid_action(given["action"]), given["action"]
    assert cadftaxonomy.is_valid_outcome(given["outcome"]), given["outcome"]
    made = event.Event(
        eventType=given["eventType"],
        id=given["id"],
        eventTime=given["eventTime"],
        action=given["action"],
        outcome=given["outcome"],
        initiator=built(given["initiator"]),
        target=built(given["target"]),
        observer=built(given["observer"]),
    )
    for one in given["attachments"]:
        attached = attachment.Attachment(typeURI=one["typeURI"], name=one["name"], content=one["content"])
        assert attached.is_valid(), one
        made.add_attachment(attached)
    for tag in given.get("tags", []):
        made.add_tag(tag)
    assert made.is_valid(), given
    again = made.as_dict()
    for key, value in given.items():
        if key not in ("initiator", "target", "observer"):
            assert again[key] == value, (key, again[key], value)
    count += 1
print(count, "valid")
