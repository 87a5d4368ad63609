-- What Glance lacks: A finds a project's shares, B its own images in order, C the public ones in order.
SET maintenance_work_mem = '1GB';
CREATE INDEX a ON image_members (member, status, image_id) WHERE NOT deleted;
CREATE INDEX b ON images (owner, created_at DESC, id DESC) WHERE NOT deleted;
CREATE INDEX c ON images (created_at DESC, id DESC) WHERE visibility = 'public' AND NOT deleted;
VACUUM ANALYZE;
