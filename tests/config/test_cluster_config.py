"""`[cluster]`: what is refused, what must go with it, and the files of the bus."""

from pathlib import Path

import pytest

from roomd.config import ClusterConfig, ConfigError, load
from roomd.node import nats_settings

CLUSTER = {
    "ROOMD_AUTH_SECRET": "a secret for tests only, 32 bytes",
    "ROOMD_DATABASE_URL": "postgresql://roomd@db.example/roomd",
    "ROOMD_CLUSTER_NATS": "nats://10.0.0.1:4222, tls://nats.example",
    "ROOMD_CLUSTER_NODE": "a",
}


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    return str(caught.value)


def test_a_node() -> None:
    """Servers, a name and a database are enough."""
    cluster = load(environ=CLUSTER).cluster
    assert cluster.nats == ("nats://10.0.0.1:4222", "tls://nats.example")
    assert (cluster.node, cluster.subject) == ("a", "roomd")
    assert load(environ={}).cluster == ClusterConfig()


@pytest.mark.parametrize("missing", ["ROOMD_CLUSTER_NODE", "ROOMD_DATABASE_URL"])
def test_what_a_node_needs(missing: str) -> None:
    """A name of its own, and the database of all."""
    given = {name: value for name, value in CLUSTER.items() if name != missing}
    name = missing.removeprefix("ROOMD_").lower().replace("_", ".", 1)
    assert f"cluster.nats: needs {name}" in refusal(**given)


@pytest.mark.parametrize("key", ["node", "advertise", "credentials_file", "ca_file", "certificate_file", "key_file"])
def test_a_node_without_servers(key: str) -> None:
    """Whoever sets one of these wants a node: a roomd that is alone in silence would be a surprise."""
    given = {name: value for name, value in CLUSTER.items() if "CLUSTER" not in name}
    told = refusal(**given, **{f"ROOMD_CLUSTER_{key.upper()}": "a"})
    assert told.endswith(f"cluster.{key}: needs cluster.nats: without it this roomd is alone")


@pytest.mark.parametrize(
    "url", ["http://a.example", "nats://", "a.example:4222", "nats://secret@a.example:port", "nats://[x"]
)
def test_bad_servers(url: str) -> None:
    """A wrong one stops the start, and is not in the error: it may have a password."""
    told = refusal(**{**CLUSTER, "ROOMD_CLUSTER_NATS": url})
    assert told.startswith("the environment: cluster.nats: ")
    assert "secret" not in told


def test_names_of_nodes() -> None:
    """They are parts of subjects."""
    assert "ROOMD_CLUSTER_NODE" in refusal(**{**CLUSTER, "ROOMD_CLUSTER_NODE": "a.b"})


def test_a_password_in_a_file(tmp_path: Path) -> None:
    """Only its owner may read the file; without a password others may."""
    file = tmp_path / "roomd.toml"
    for servers, is_secret in ('["nats://a.example"]', False), ('["nats://roomd:geheim@a.example"]', True):
        file.write_text(f"[cluster]\nnats = {servers}\nnode = 'a'\n")
        file.chmod(0o644)
        if not is_secret:
            load(file, environ={name: value for name, value in CLUSTER.items() if "CLUSTER" not in name})
            continue
        with pytest.raises(ConfigError, match=r"cluster\.nats"):
            load(file, environ={name: value for name, value in CLUSTER.items() if "CLUSTER" not in name})


def test_files_of_the_bus(tmp_path: Path) -> None:
    """TLS is used where a server or a file asks for it; a file that cannot be read stops the start."""
    assert nats_settings(ClusterConfig(nats=("nats://a",))).tls is None
    assert nats_settings(ClusterConfig(nats=("nats://a", "tls://b"))).tls is not None
    missing = str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="cluster: the files of TLS cannot be read: No such file"):
        nats_settings(ClusterConfig(nats=("tls://b",), ca_file=missing))
    told = refusal(**CLUSTER, ROOMD_CLUSTER_KEY_FILE="k")
    assert told.endswith("need each other")
