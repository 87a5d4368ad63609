"""Serves Keystone: keystone_serve.py CONFIGURATION DATABASE PORT PORT_FILE.

PORT 0 takes a free one. The port is written to PORT_FILE when the socket listens. The catalog's identity endpoints
are made to name it before the first request, since a prepared database cannot know it.
"""

import os
import pathlib
import sqlite3
import sys
import threading

# Keystone reads sys.argv when it is imported: leave it nothing.
configuration, database, port, port_file = sys.argv[1:]
sys.argv = sys.argv[:1]
os.environ["OS_KEYSTONE_CONFIG_FILES"] = configuration

from keystone.wsgi.api import application  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


class Handler(WSGIRequestHandler):
    """Keeps connections, as production servers in front of Keystone do."""

    protocol_version = "HTTP/1.1"


writing = threading.Lock()


def one_writer(environ, start_response):
    """Lets one request write at a time: SQLite answers a second writer with "database is locked", Keystone with 500."""
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return application(environ, start_response)
    with writing:
        return application(environ, start_response)


server = make_server("127.0.0.1", int(port), one_writer, threaded=True, request_handler=Handler)
with sqlite3.connect(database) as connection:
    # Readers do not wait for the writer.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "UPDATE endpoint SET url = ? WHERE service_id IN (SELECT id FROM service WHERE type = 'identity')",
        (f"http://127.0.0.1:{server.port}/v3",),
    )
connection.close()
waiting = pathlib.Path(port_file + ".new")
waiting.write_text(str(server.port))
waiting.rename(port_file)
server.serve_forever()
