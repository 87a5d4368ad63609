"""python-glanceclient's member calls: glanceclient_members.py JSON, with endpoint, three tokens and the member's project."""

import json
import sys

from glanceclient import Client, exc

given = json.loads(sys.argv[1])
project = given["project"]
owner, member, stranger = (
    Client("2", endpoint=given["endpoint"], token=given[side]) for side in ("owner", "member", "stranger")
)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def refused(exception, call, *arguments):
    try:
        answer = call(*arguments)
    except exception as refusal:
        if not str(refusal).strip():
            sys.exit(f"{call.__qualname__}{arguments} was refused without a word")
        return
    sys.exit(f"{call.__qualname__}{arguments} gave {answer!r} instead of {exception.__name__}")


image = owner.images.create(
    name="poster", visibility="shared", container_format="bare", disk_format="raw", season="autumn"
)
refused(exc.HTTPNotFound, member.images.get, image.id)
expect("nobody yet", list(owner.image_members.list(image.id)), [])

created = owner.image_members.create(image.id, project)
expect("created", (created.image_id, created.member_id, created.status), (image.id, project, "pending"))
refused(exc.HTTPConflict, owner.image_members.create, image.id, project)
refused(exc.HTTPBadRequest, owner.image_members.create, image.id, "")
refused(exc.HTTPForbidden, owner.image_members.update, image.id, project, "accepted")
refused(exc.HTTPBadRequest, member.image_members.update, image.id, project, "delighted")
refused(exc.HTTPNotFound, stranger.image_members.update, image.id, project, "accepted")
refused(exc.HTTPForbidden, member.image_members.create, image.id, "another")
refused(exc.HTTPForbidden, member.image_members.delete, image.id, project)

expect("seen while pending", member.images.get(image.id).season, "autumn")
expect("not listed while pending", [listed.id for listed in member.images.list()], [])
for status in ("accepted", "rejected", "pending", "accepted"):
    expect(status, member.image_members.update(image.id, project, status).status, status)
    expect("as told", member.image_members.get(image.id, project).status, status)
expect("listed", [listed.id for listed in member.images.list()], [image.id])
expect("listed to the owner", [one.member_id for one in owner.image_members.list(image.id)], [project])
expect("listed to nobody else", [listed.id for listed in stranger.images.list()], [])

owner.image_members.delete(image.id, project)
refused(exc.HTTPNotFound, owner.image_members.delete, image.id, project)
refused(exc.HTTPNotFound, member.images.get, image.id)
refused(exc.HTTPNotFound, owner.image_members.get, image.id, project)

public = owner.images.create(name="flyer", visibility="private", container_format="bare", disk_format="raw")
owner.images.update(public.id, visibility="community")
refused(exc.HTTPForbidden, owner.image_members.create, public.id, project)
for left in (image, public):
    owner.images.delete(left.id)
refused(exc.HTTPUnauthorized, Client("2", endpoint=given["endpoint"], token="not-a-token").images.get, image.id)
print("shared")
