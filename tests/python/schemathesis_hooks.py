"""How schemathesis writes image patches: as the JSON they are."""

import json

import schemathesis


@schemathesis.serializer(
    "application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch"
)
def patch(context, value):
    return json.dumps(value).encode()
