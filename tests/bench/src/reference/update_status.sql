UPDATE image_members SET updated_at = CASE WHEN status = {status} THEN updated_at ELSE timestamp '2026-01-01' END, status = {status}
WHERE image_id = {image} AND member_id = {member} AND EXISTS (
    SELECT FROM images WHERE id = {image} AND visibility = 'shared' AND coalesce(owner, '') = {owner})
RETURNING member_id, status, created_at, updated_at;
