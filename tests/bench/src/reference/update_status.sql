WITH held AS (
    SELECT member.image_id, member.member_id, member.status AS old, member.created_at, image.name, image.owner
    FROM image_members AS member JOIN images AS image ON image.id = member.image_id
    WHERE member.image_id = {image} AND member.member_id = {member} AND image.visibility = 'shared'
        AND coalesce(image.owner, '') = {owner}
    FOR NO KEY UPDATE OF member
), changed AS (
    UPDATE image_members AS member SET
        updated_at = CASE WHEN held.old = {status} THEN member.updated_at ELSE timestamp '2026-01-01' END,
        status = {status}
    FROM held WHERE member.image_id = held.image_id AND member.member_id = held.member_id
    RETURNING held.*, member.updated_at
), told AS (
    INSERT INTO events (at, user_id, project_id, request_id, image_id, image_name, owner, member_id, deed, old_status, new_status,
        member_created_at)
    SELECT timestamp '2026-01-01', 'somebody', member_id, 'req-00000000-0000-4000-8000-000000000000', image_id, name, owner, member_id,
        'update', old, {status}, created_at
    FROM changed WHERE old <> {status}
)
SELECT member_id, old, created_at, updated_at FROM changed;
