-- Citus: after `vitrine migrate` on the coordinator. All tables by the image's id, the shards of one id side by side, so that
-- every call about one image is one shard's.
--
-- Not run on Citus. `crates/store-diesel/tests/partitioned.rs` holds it against what Citus asks of a table: every unique key
-- and every foreign key contains the column, and refers to a table that was distributed before by the column referred to.
SELECT create_distributed_table('image_ids', 'id');
SELECT create_distributed_table('images', 'id', colocate_with => 'image_ids');
SELECT create_distributed_table('image_members', 'image_id', colocate_with => 'image_ids');
