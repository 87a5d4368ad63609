"""Projects with ids of our choosing, and one who is a member of all: insert_projects.py KEYSTONE_DB USER ID...

Keystone's API gives ids by chance, and takes a minute for it.
"""

import sqlite3
import sys

database, user, *projects = sys.argv[1:]
with sqlite3.connect(database, timeout=30) as connection:
    connection.executemany(
        "INSERT OR IGNORE INTO project (id, name, extra, description, enabled, domain_id, parent_id, is_domain)"
        " VALUES (?, ?, '{}', '', 1, 'default', 'default', 0)",
        [(project, "measured-" + project) for project in projects],
    )
    connection.executemany(
        "INSERT OR IGNORE INTO assignment (type, actor_id, target_id, role_id, inherited)"
        " SELECT 'UserProject', ?, ?, id, 0 FROM role WHERE name = 'member'",
        [(user, project) for project in projects],
    )
connection.close()
