"""openstacksdk's member calls: openstacksdk_members.py JSON, with region, two ways of signing in and the member's project."""

import json
import sys

import openstack
from openstack import exceptions

given = json.loads(sys.argv[1])
project = given["project"]
owner, member = (
    openstack.connect(auth=given[side], region_name=given["region"], interface="public").image
    for side in ("owner", "member")
)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def refused(exception, call, *arguments, **named):
    try:
        answer = call(*arguments, **named)
    except exception as refusal:
        return refusal
    sys.exit(f"{call.__qualname__}{arguments} gave {answer!r} instead of {exception.__name__}")


image = owner.create_image(
    "poster", visibility="shared", container_format="bare", disk_format="raw", allow_duplicates=True
)
refused(exceptions.NotFoundException, member.get_image, image.id)
expect("nobody yet", list(owner.members(image)), [])

created = owner.add_member(image, member_id=project)
expect("created", (created.member_id, created.image_id, created.status), (project, image.id, "pending"))
conflict = refused(exceptions.ConflictException, owner.add_member, image, member_id=project)
expect("the refusal has the service's own words", project in str(conflict) or "member" in str(conflict), True)

expect("pending", [one.id for one in member.images(visibility="shared", member_status="pending")], [image.id])
expect("not yet accepted", [one.id for one in member.images(visibility="shared")], [])
refused(exceptions.ForbiddenException, owner.update_member, project, image, status="accepted")
refused(exceptions.BadRequestException, member.update_member, project, image, status="delighted")
for status in ("rejected", "pending", "accepted"):
    expect(status, member.update_member(project, image, status=status).status, status)
    expect("as told", owner.get_member(project, image).status, status)
expect("accepted", [one.id for one in member.images(visibility="shared")], [image.id])
expect("found", owner.find_member(project, image).status, "accepted")
expect("nobody of that name", owner.find_member("nobody", image, ignore_missing=True), None)
expect("both sides list it", [len(list(side.members(image))) for side in (owner, member)], [1, 1])
refused(exceptions.ForbiddenException, member.remove_member, project, image)

owner.remove_member(project, image, ignore_missing=False)
owner.remove_member(project, image)
refused(exceptions.NotFoundException, owner.remove_member, project, image, ignore_missing=False)
refused(exceptions.NotFoundException, member.get_image, image.id)
owner.delete_image(image.id, ignore_missing=False)
print("shared")
