SELECT images.*, own.member_id
FROM images LEFT JOIN image_members AS own ON own.image_id = images.id AND own.member_id = {owner}
WHERE images.id = {image};
