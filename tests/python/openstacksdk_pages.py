"""openstacksdk's lists of more than one page, while their images are deleted: openstacksdk_pages.py JSON, with region and a way of signing in."""

import json
import sys

import openstack
from openstack import exceptions

given = json.loads(sys.argv[1])
connection = openstack.connect(auth=given["owner"], region_name=given["region"], interface="public")
client = connection.image


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def create(count):
    created = [
        client.create_image(f"image {number}", container_format="bare", disk_format="raw", allow_duplicates=True)
        for number in range(count)
    ]
    return sorted(image.id for image in created)


def listed(**query):
    return sorted(image.id for image in client.images(**query))


def delete_while_listing(**query):
    """Deletes each image as it is listed; gives their ids, and the refusal that ended the list, if one did."""
    deleted = []
    try:
        for image in client.images(**query):
            client.delete_image(image.id, ignore_missing=False)
            deleted.append(image.id)
    except exceptions.BadRequestException as refusal:
        return deleted, str(refusal)
    return deleted, None


for sort in ({}, {"sort": "name:asc,created_at:desc"}):
    ids = create(27)
    expect("pages of five", listed(limit=5, **sort), ids)
    deleted, refusal = delete_while_listing(limit=5, **sort)
    expect("deleted in pages of five", sorted(deleted), ids)
    # Behind the last page, which has no link, a list with a limit asks once more, from a marker of the client's own: the
    # last image. That one is deleted; Glance refuses it as well.
    expect("refused behind the last page", f"The marker {deleted[-1]} is not an image" in str(refusal), True)
    expect("left", listed(), [])

# Pages of the server's own size. The same list stands behind `openstack project cleanup`.
ids = create(27)
expect("pages of the server", listed(), ids)
deleted, refusal = delete_while_listing()
expect("deleted in pages of the server", (sorted(deleted), refusal), (ids, None))
ids = create(27)
connection.project_cleanup(dry_run=False)
expect("left by the cleanup", listed(), [])
print("deleted")
