"""What the deployment files may rely on about `vitrine` itself: its configuration keys, ports, paths and subcommands."""

import pathlib
import re

SUBCOMMANDS = ("serve", "migrate", "check-config", "dead-letters", "dev")
API_PORT = 9292
METRICS_PORT = 9293
LIVE_PATH = "/livez"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"
# The user of the image, the last stage of deploy/Dockerfile.
USER = 65532
# Seconds that running requests get after SIGTERM, unless VITRINE_SHUTDOWN__GRACE says otherwise.
SHUTDOWN_DRAIN = 5
SHUTDOWN_GRACE = 35

# Every key with its default; a test of the program keeps it equal to what `vitrine check-config --example` prints.
EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "vitrine.toml.example"


def keys_of(example: str) -> dict[str, str]:
    """Each key, as in the configuration file, with its default; the environment's name has two underscores for a dot."""
    found, section = {}, ""
    for line in example.splitlines():
        if heading := re.fullmatch(r"\[([a-z_.]+)\]", line):
            section = heading[1] + "."
        elif setting := re.match(r"# ([a-z0-9_]+) = (.*)", line):
            found[section + setting[1]] = setting[2]
    return found


KEYS = keys_of(EXAMPLE.read_text())
# What the program holds besides, in bytes (docs/adr/0014): itself, lists in progress, answers about large images, the heads of
# requests and those of refused connections that linger.
PROGRAM_BYTES = 48 << 20
LIST_BYTES = 64 << 20
IMAGE_BYTES = 16 << 20
HEAD_BYTES = 16 << 20
LINGERING_BYTES = 64 * (64 << 10)
CONNECTION_BYTES = 96 << 10
# A page of a list is twice there while it is decoded, which each connection to a database does for one at a time.
PAGE_BYTES = 4 << 20
MOST_PAGES = LIST_BYTES // PAGE_BYTES
# What a sink claims is held, and may be there once more while it is sent. Two claims at once are decoded, from their rows
# and from the answer of the database.
CLAIM_BYTES = 8 << 20
CLAIMS_AT_ONCE = 2
# These may be named as a file (`…_file`) and, in deployment files, must be.
SECRET_KEYS = tuple(key for key in KEYS if f"{key}_file" in KEYS)


def connections_beside_the_pool(example: str) -> tuple[int, int]:
    """What a process holds at most beside `database.pool_size`: without and with a replica, to the primary."""
    text = " ".join(example.replace("\n#", " ").split())
    alone = re.search(r"at most: database\.pool_size \+ (\d+) to Postgres", text)
    beside = re.search(r"database\.pool_size \+ (\d+) to the primary", text)
    return int(alone[1]), int(beside[1])


BESIDE_THE_POOL, BESIDE_THE_POOL_WITH_REPLICA = connections_beside_the_pool(EXAMPLE.read_text())
# `vitrine migrate` looks with two connections whether they share a session, and then holds one.
MIGRATION_CONNECTIONS = 2


def max_connections(environment: dict[str, str]) -> int | None:
    """The connections that a process with these variables holds at most, to the primary; none if they do not say."""
    pool = int(environment.get("VITRINE_DATABASE__POOL_SIZE", "0"))
    has_replica = any(name.startswith("VITRINE_DATABASE__REPLICA_URL") for name in environment)
    return pool + (BESIDE_THE_POOL_WITH_REPLICA if has_replica else BESIDE_THE_POOL) if pool > 0 else None


def variable(key: str) -> str:
    """The environment variable of a key."""
    return "VITRINE_" + key.upper().replace(".", "__")


def needed_memory(environment: dict[str, str]) -> int:
    """The bytes that a server needs at most: the one formula for the memory limit (docs/adr/0014).

    Sinks count that the variables name; those of a configuration file need `memory_of_sinks` more.
    """
    connections = int(environment.get(variable("http.max_connections"), KEYS["http.max_connections"]))
    bodies = int(environment.get(variable("http.body_buffer_bytes"), KEYS["http.body_buffer_bytes"]))
    # An eighth more for probes, and a quarter more that are being ended.
    connections += connections // 8 + connections // 4
    lists = LIST_BYTES + min(list_connections(environment), MOST_PAGES) * PAGE_BYTES
    edge = HEAD_BYTES + LINGERING_BYTES + connections * CONNECTION_BYTES
    return PROGRAM_BYTES + lists + IMAGE_BYTES + edge + bodies + memory_of_sinks(len(sinks(environment)))


def list_connections(environment: dict[str, str]) -> int:
    """The connections on which lists are read; as many as lists at once if the variables do not say."""
    pool = int(environment.get(variable("database.pool_size"), "0"))
    has_replica = any(name.startswith(variable("database.replica_url")) for name in environment)
    return MOST_PAGES if pool == 0 else 2 * pool + 1 if has_replica else pool


def sinks(environment: dict[str, str]) -> set[str]:
    """The sinks of events that the variables name."""
    sink = re.compile(r"VITRINE_EVENTS__(RABBITMQ_URL|AUDIT_LOG|WEBHOOKS__[A-Z0-9_-]+?__URL)(_FILE)?")
    return {found[1] for name in environment if (found := sink.fullmatch(name))}


def memory_of_sinks(count: int) -> int:
    """The bytes that so many sinks hold at most."""
    return count * 2 * CLAIM_BYTES + min(count, CLAIMS_AT_ONCE) * 2 * CLAIM_BYTES


SECRET_VARIABLES = {variable(key) for key in SECRET_KEYS}
SECRET_FILE_VARIABLES = {name + "_FILE" for name in SECRET_VARIABLES}
VARIABLES = {variable(key) for key in KEYS}
# `events.webhooks.NAME.*`: of each webhook its address and its secrets, all of them secret.
WEBHOOK_VARIABLE = re.compile(r"VITRINE_EVENTS__WEBHOOKS__[A-Z0-9_-]+?__(URL|SECRET|PREVIOUS_SECRET)(?P<file>_FILE)?")


def is_secret_file(name: str) -> bool:
    """Whether the variable names a file with a secret."""
    webhook = WEBHOOK_VARIABLE.fullmatch(name)
    return name in SECRET_FILE_VARIABLES or (webhook is not None and webhook["file"] is not None)


def is_secret(name: str) -> bool:
    """Whether the variable is itself a secret."""
    webhook = WEBHOOK_VARIABLE.fullmatch(name)
    return name in SECRET_VARIABLES or (webhook is not None and webhook["file"] is None)


def is_variable(name: str) -> bool:
    """Whether the variable is a configuration key."""
    return name in VARIABLES or is_secret(name) or is_secret_file(name)


def complaints_about_environment(environment: dict[str, str]) -> list[str]:
    """Unknown variables, secrets in plain sight, and addresses on other ports than the ones everything else names."""
    found = []
    for name, value in environment.items():
        if not name.startswith("VITRINE_"):
            found.append(f"{name} is not a variable of vitrine")
        elif not is_variable(name):
            found.append(f"{name} is not a configuration key; vitrine would refuse to start")
        elif is_secret(name):
            found.append(f"{name} is a secret in plain sight; use {name}_FILE")
        elif str(value).strip() == "":
            found.append(f"{name} is empty")
    for name, port in (("VITRINE_LISTEN", API_PORT), ("VITRINE_METRICS_LISTEN", METRICS_PORT)):
        if name in environment and environment[name] != f"0.0.0.0:{port}":
            found.append(f"{name} is {environment[name]}, not 0.0.0.0:{port}")
    return found
