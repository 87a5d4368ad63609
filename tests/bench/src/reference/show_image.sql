SELECT images.*,
    (SELECT string_agg(tag, E'\x1f') FROM image_tags WHERE image_tags.image_id = images.id),
    (SELECT string_agg(name || E'\x1e' || value, E'\x1f') FROM image_properties WHERE image_properties.image_id = images.id),
    own.member_id
FROM images LEFT JOIN image_members AS own ON own.image_id = images.id AND own.member_id = {owner}
WHERE images.id = {image};
