"""What the deployment files may rely on about `vitrine` itself: its configuration keys, ports, paths and subcommands."""

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

# As in the configuration file; the environment's name has two underscores for a dot.
KEYS = (
    "listen",
    "metrics_listen",
    "public_endpoint",
    "workers",
    "deadline",
    "database.url",
    "database.pooler",
    "database.migrate_url",
    "database.replica_url",
    "database.replica_staleness",
    "database.pool_size",
    "keystone.auth_url",
    "keystone.public_url",
    "keystone.username",
    "keystone.password",
    "keystone.project_name",
    "keystone.user_domain_id",
    "keystone.project_domain_id",
    "keystone.application_credential_id",
    "keystone.application_credential_secret",
    "keystone.timeout",
    "keystone.token_cache_ttl",
    "keystone.max_privileged_age",
    "keystone.stale_reads",
    "keystone.revocation_poll",
    "keystone.calls_at_once",
    "keystone.calls_waiting",
    "keystone.service_token_roles",
    "keystone.token_formats",
    "keystone.jws_public_keys",
    "keystone.ca_file",
    "policy_file",
    "sharing.private_images",
    "events.rabbitmq_url",
    "events.rabbitmq_exchange",
    "events.rabbitmq_topic",
    "events.rabbitmq_queues",
    "events.rabbitmq_ca_file",
    "events.publisher_id",
    "events.webhook_patience",
    "events.audit_log",
    "events.lease",
    "events.keep_days",
    "limits.members_per_image",
    "limits.properties_per_image",
    "limits.tags_per_image",
    "limits.page_default",
    "limits.page_max",
    "limits.body_bytes",
    "limits.requests_per_second",
    "limits.requests_burst",
    "tls.certificate",
    "tls.key",
    "log.format",
    "log.level",
    "shutdown.drain",
    "shutdown.grace",
)
# These may be named as a file (`…_file`) and, in deployment files, must be.
SECRET_KEYS = (
    "database.url",
    "database.migrate_url",
    "database.replica_url",
    "events.rabbitmq_url",
    "keystone.password",
    "keystone.application_credential_secret",
)


def variable(key: str) -> str:
    """The environment variable of a key."""
    return "VITRINE_" + key.upper().replace(".", "__")


SECRET_VARIABLES = {variable(key) for key in SECRET_KEYS}
SECRET_FILE_VARIABLES = {name + "_FILE" for name in SECRET_VARIABLES}
VARIABLES = {variable(key) for key in KEYS} | SECRET_FILE_VARIABLES
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
