SELECT images.id, images.owner, images.visibility, own.member_id, listed.member_id, listed.status, listed.created_at, listed.updated_at
FROM images
LEFT JOIN image_members AS own ON own.image_id = images.id AND own.member_id = {owner}
LEFT JOIN image_members AS listed ON listed.image_id = images.id
WHERE images.id = {image}
ORDER BY listed.created_at, listed.member_id;
