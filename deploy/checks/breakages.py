"""Mistakes a person makes in these files. `deploy/check --self-test` makes each one in a copy and must be told of it."""

from dataclasses import dataclass

BASE = "kubernetes/base/"
TRIAL = "kubernetes/overlays/trial/"
PRODUCTION = "kubernetes/overlays/production/"
MONITOR = "kubernetes/components/monitoring/service-monitor.yaml"


@dataclass(frozen=True)
class Breakage:
    """`old`, which `file` has, becomes `new`; one complaint must then have `said` in it."""

    name: str
    file: str
    old: str
    new: str
    said: str


BREAKAGES = (
    Breakage("a misspelt field of a container", BASE + "deployment.yaml",
             "readinessProbe:", "readynessProbe:", "'readynessProbe' was unexpected"),
    Breakage("a misspelt field deep in a pod", BASE + "deployment.yaml",
             "readOnlyRootFilesystem:", "readOnlyRootFileSystem:", "'readOnlyRootFileSystem' was unexpected"),
    Breakage("a value of the wrong type", BASE + "deployment.yaml",
             "maxUnavailable: 0", "maxUnavailable: []", "is not"),
    Breakage("a misspelt field of a ServiceMonitor", MONITOR,
             "scrapeTimeout:", "scrapeTimout:", "'scrapeTimout' was unexpected"),
    Breakage("a ServiceMonitor on a port that no Service has", MONITOR,
             "port: metrics", "port: metric", "is not exactly one Service's 9293"),
    Breakage("a ServiceMonitor on another path", MONITOR, "path: /metrics", "path: /metric", "is not /metrics"),
    Breakage("another container port", BASE + "deployment.yaml",
             "containerPort: 9292", "containerPort: 9922", "not api 9292 and metrics 9293"),
    Breakage("another Service port", BASE + "service.yaml", "port: 9292", "port: 9922", "port 9922 leads to 9292"),
    Breakage("a Service with a mistyped selector", BASE + "service.yaml",
             "selector:\n    app.kubernetes.io/name: vitrine\n", "selector:\n    app.kubernetes.io/name: vitrin\n",
             "selects no pod"),
    Breakage("a probe of a path that is not served", BASE + "deployment.yaml",
             "path: /readyz", "path: /ready", "readinessProbe asks /ready"),
    Breakage("a pod as root", BASE + "deployment.yaml", "runAsUser: 65532", "runAsUser: 0", "runAsUser is root"),
    Breakage("a writable root file system", BASE + "migrate-job.yaml",
             "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem is not true"),
    Breakage("service links, whose variables stop vitrine", BASE + "deployment.yaml",
             "enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks is not false"),
    Breakage("a setting that does not exist", BASE + "settings.env",
             "VITRINE_LOG__LEVEL", "VITRINE_LOG_LEVEL", "VITRINE_LOG_LEVEL is not a configuration key"),
    Breakage("a secret in plain sight", PRODUCTION + "settings.env",
             "VITRINE_KEYSTONE__USERNAME", "VITRINE_KEYSTONE__PASSWORD", "is a secret in plain sight"),
    Breakage("a secret file that is mounted elsewhere", BASE + "settings.env",
             "/etc/vitrine/keystone/password", "/etc/keystone/password", "where no secret is mounted"),
    Breakage("a secret without the file", TRIAL + "kustomization.yaml",
             "url=secrets/database-url", "uri=secrets/database-url", "has no url for VITRINE_DATABASE__URL_FILE"),
    Breakage("a secret that nobody makes", BASE + "deployment.yaml",
             "secretName: vitrine-keystone", "secretName: keystone", "Secret keystone is neither rendered"),
    Breakage("less time to finish than requests get", BASE + "deployment.yaml",
             "terminationGracePeriodSeconds: 50", "terminationGracePeriodSeconds: 30", "must exceed preStop"),
    Breakage("a pool for which PostgreSQL has too few connections", BASE + "settings.env",
             "POOL_SIZE=6", "POOL_SIZE=8", "7 pods at once with 14 connections each, and 2 for the migration, are 100"),
    Breakage("more pods than PostgreSQL has connections for", BASE + "horizontal-pod-autoscaler.yaml",
             "maxReplicas: 5", "maxReplicas: 10", "12 pods at once with 12 connections each"),
    Breakage("a rolling update that leaves many pods ending at once", BASE + "deployment.yaml",
             "minReadySeconds: 50", "minReadySeconds: 5", "11 pods at once with 12 connections each"),
    Breakage("a rolling update without a pause", BASE + "deployment.yaml",
             "  minReadySeconds: 50\n", "", "11 pods at once with 12 connections each"),
    Breakage("a sum in the README that is not the manifests'", "README.md", "12 + 2 = 86", "8 = 88", "README.md does not say"),
    Breakage("a pool that the node's cores decide", BASE + "settings.env",
             "VITRINE_DATABASE__POOL_SIZE=6\n", "", "VITRINE_DATABASE__POOL_SIZE is not set"),
    Breakage("a replica, which takes one connection more of the primary", BASE + "settings.env",
             "POOL_SIZE=6\n", "POOL_SIZE=7\nVITRINE_DATABASE__REPLICA_URL_FILE=/etc/vitrine/database/url\n",
             "7 pods at once with 14 connections each"),
    Breakage("more connections than memory", BASE + "settings.env",
             "MAX_CONNECTIONS=1024", "MAX_CONNECTIONS=4096", "do not fit the limit"),
    Breakage("less memory than connections need", BASE + "deployment.yaml",
             "memory: 384Mi", "memory: 256Mi", "do not fit the limit"),
    Breakage("more sinks than memory", BASE + "settings.env",
             "MAX_CONNECTIONS=1024", "MAX_CONNECTIONS=1024\nVITRINE_EVENTS__AUDIT_LOG=stdout\n"
             + "".join(f"VITRINE_EVENTS__WEBHOOKS__{name}__URL_FILE=/etc/vitrine/database/url\n" for name in "ABC"),
             "do not fit the limit"),
    Breakage("metrics open to another namespace", BASE + "network-policy.yaml",
             "kubernetes.io/metadata.name: monitoring", "kubernetes.io/metadata.name: default", "reachable on"),
    Breakage("no way to PostgreSQL", PRODUCTION + "egress.yaml",
             "port: 5432", "port: 5433", "no NetworkPolicy lets it reach port 5432"),
    Breakage("an autoscaler of something else", BASE + "horizontal-pod-autoscaler.yaml",
             "kind: Deployment\n    name: vitrine", "kind: Deployment\n    name: vitrin", "which is not there"),
    Breakage("a Job named by a registry's port", PRODUCTION + "kustomization.yaml",
             "newName: registry.example.org/", "newName: registry.example.org:5000/", "see `index`"),
    Breakage("a Job that cannot be applied again", BASE + "migrate-job.yaml",
             "              value: json\n",
             "              value: json\n          envFrom:\n            - configMapRef:\n"
             "                name: vitrine-settings\n",
             "a Job cannot be changed"),
    Breakage("a misspelt field of the compose file", "compose/compose.yaml",
             "healthcheck:", "healtcheck:", "not by the compose specification"),
    Breakage("a compose port beyond the loopback", "compose/compose.yaml",
             '"127.0.0.1:9292:9292"', '"9292:9292"', "beyond the loopback"),
    Breakage("a compose setting that does not exist", "compose/compose.yaml",
             "VITRINE_PUBLIC_ENDPOINT", "VITRINE_PUBLIC_URL", "is not a configuration key"),
    Breakage("a compose secret that is not declared", "compose/compose.yaml",
             "secrets: [database-url, keystone-password]", "secrets: [database-url]", "not a secret of this service"),
    Breakage("a compose variable that prepare does not write", "compose/compose.yaml",
             "${KEYSTONE_USERNAME:?", "${KEYSTONE_USER:?", ".env has no KEYSTONE_USER"),
    Breakage("a misspelt Dockerfile instruction", "Dockerfile", "ENTRYPOINT [", "ENTRYPIONT [", "unexpected"),
    Breakage("an image as root", "Dockerfile", "USER 65532:65532", "USER root", "the image runs as root"),
    Breakage("a port that is not ours", "Dockerfile", "EXPOSE 9292 9293", "EXPOSE 8080", "EXPOSE is [8080]"),
    Breakage("an old toolchain", "Dockerfile", "RUST_VERSION=1.", "RUST_VERSION=0.", "rust-version"),
    Breakage("a stage that is not there", "Dockerfile", "--from=build ", "--from=builder ", "no such stage"),
    Breakage("a context without a needed folder", "Dockerfile.dockerignore", "!migrations\n", "", "migrations is not let"),
)
