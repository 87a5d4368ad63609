SELECT images.id, images.owner, images.visibility, own.member_id, asked.member_id, asked.status, asked.created_at, asked.updated_at
FROM images
LEFT JOIN image_members AS own ON own.image_id = images.id AND own.member_id = {owner}
LEFT JOIN image_members AS asked ON asked.image_id = images.id AND asked.member_id = {member}
WHERE images.id = {image};
