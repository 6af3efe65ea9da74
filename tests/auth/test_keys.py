"""Where keys come from: the configuration and files."""

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

from roomd.auth.keys import KeySource, check_keys, find_own_key, make_own_key, open_keys, policy
from roomd.auth.orders import TokenOrder
from roomd.auth.secret_files import local_secret
from roomd.auth.tokens import Key, Policy, mint, verify
from roomd.config import AuthConfig, ConfigError, is_open_to_others, local_secret_file
from tests.support.processes import PATIENCE

NOW = 1_772_534_100.0
CLAIMS = {"sub": "alice", "exp": NOW + 60}
SECRET = "0123456789abcdef0123456789abcdef"
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}

no_key_file = AuthConfig()


def pem(private: Any) -> bytes:
    """Write the public half of a key."""
    public: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public


def secret_file(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    file = folder / "secret"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    return file


def refusal(auth: AuthConfig, database: Path) -> str:
    """Return what `open_keys` says against this configuration."""
    with pytest.raises(ConfigError) as caught:
        open_keys(auth, database)
    return str(caught.value)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "var" / "roomd.db"


# Secrets


async def test_secret(database: Path) -> None:
    """A configured secret checks what it signed, and is the one to mint with."""
    auth = AuthConfig(secret=SECRET)
    source = open_keys(auth, database)
    minted = mint(SECRET.encode(), TokenOrder(user="alice", ttl=60), NOW)
    assert verify(minted, await source.keys_for(minted), policy(auth), NOW).user_id == "alice"
    assert local_secret(auth, database) == SECRET.encode()
    await source.close()
    assert not database.parent.exists()


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f" \t{SECRET}\r\n"], ids=["bare", "line", "spaces"])
async def test_secret_file(tmp_path: Path, database: Path, content: str) -> None:
    """A secret file's white space at both ends is no part of the secret."""
    auth = AuthConfig(secret_file=str(secret_file(tmp_path, content)))
    assert await open_keys(auth, database).keys_for("") == (Key(SECRET.encode(), "HS256"),)
    assert local_secret(auth, database) == SECRET.encode()


BAD_SECRETS: dict[str, tuple[str | bytes, int, str]] = {
    "short": ("x" * 31, 0o600, "must be at least 32 bytes; `openssl rand -hex 32` makes one"),
    "short but for spaces": ("x" * 31 + "\n" * 9, 0o600, "must be at least 32 bytes"),
    "empty": ("", 0o600, "must be at least 32 bytes"),
    "read by the group": (SECRET, 0o640, "others can read it (mode 0640); run `chmod 600 {file}`"),
    "read by all": (SECRET, 0o604, "others can read it (mode 0604); run `chmod 600 {file}`"),
    "written by all": (SECRET, 0o602, "others can read it (mode 0602); run `chmod 600 {file}`"),
    "a public key": (
        pem(RSA),
        0o600,
        "contains a key for other algorithms, not a secret; `openssl rand -hex 32` makes one",
    ),
    "a JWK": (RSAAlgorithm.to_jwk(RSA.public_key()), 0o600, "contains a key for other algorithms, not a secret"),
}


@pytest.mark.parametrize(("content", "mode", "message"), BAD_SECRETS.values(), ids=BAD_SECRETS.keys())
def test_bad_secret_file(tmp_path: Path, database: Path, content: str | bytes, mode: int, message: str) -> None:
    """A secret file that is short, open to others or no secret stops the start: the key, the file, what to do."""
    file = secret_file(tmp_path, content, mode)
    text = refusal(AuthConfig(secret_file=str(file)), database)
    assert text.startswith(f"auth.secret_file: {file}: {message.format(file=file)}")
    assert SECRET not in text


FILES: dict[str, Callable[[str], AuthConfig]] = {
    "auth.secret_file": lambda file: AuthConfig(secret_file=file),
    "auth.public_key_file": lambda file: AuthConfig(public_key_file=file),
}


@pytest.mark.parametrize("key", FILES)
def test_unreadable_file(tmp_path: Path, database: Path, key: str) -> None:
    """A file that cannot be read is named with its key."""
    none = tmp_path / "none"
    assert refusal(FILES[key](str(none)), database) == f"{key}: {none}: cannot be read: No such file or directory"
    assert refusal(FILES[key](""), database) == f"{key}: .: cannot be read: Is a directory"


@pytest.mark.parametrize(("secret", "message"), [("x" * 31, "at least 32 bytes"), (pem(EC).decode(), "not a secret")])
def test_bad_secret(database: Path, secret: str, message: str) -> None:
    """A secret in the configuration is held to the same rules."""
    text = refusal(AuthConfig(secret=secret), database)
    assert text.startswith("auth.secret: ")
    assert message in text
    assert secret not in text


# The secret beside the database


async def test_made_secret(database: Path) -> None:
    """Without any key, the first start makes a random secret for its owner only; later starts use it again."""
    assert local_secret(no_key_file, database) is None
    assert not database.parent.exists()
    keys = await open_keys(no_key_file, database).keys_for("")
    file = database.parent / "roomd.secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) == 64
    assert bytes.fromhex(file.read_text())
    assert local_secret(no_key_file, database) == file.read_bytes() == keys[0].material
    assert await open_keys(no_key_file, database).keys_for("") == keys
    assert [entry.name for entry in database.parent.iterdir()] == ["roomd.secret"]


@pytest.mark.parametrize(
    ("file", "mode", "is_open"),
    [
        ("/etc/roomd/turn.secret", 0o100400, False),
        ("/etc/roomd/turn.secret", 0o100440, True),
        ("/run/credentials/roomd.service/turn.secret", 0o100400, False),
        ("/run/credentials/roomd.service/turn.secret", 0o100440, False),
        ("/run/credentials/roomd.service/turn.secret", 0o100460, True),
        ("/run/credentials/roomd.service/turn.secret", 0o100444, True),
    ],
)
def test_credentials_of_systemd(file: str, mode: int, is_open: bool) -> None:
    """A service's credential, whose group bits are its access list's mask, serves; another file has to be private."""
    assert is_open_to_others(Path(file), mode) is is_open


def test_checking_makes_nothing(tmp_path: Path, database: Path) -> None:
    """What would stop `open_keys` is found, and a secret that is missing stays missing."""
    check_keys(no_key_file, database)
    check_keys(AuthConfig(jwks_url="https://issuer.example/keys"), database)
    assert not database.parent.exists()
    for auth in (AuthConfig(secret="short"), *(make(str(tmp_path / "none")) for make in FILES.values())):
        with pytest.raises(ConfigError) as caught:
            check_keys(auth, database)
        assert str(caught.value) == refusal(auth, database)


def test_the_own_secret_is_checked_beside_an_issuer(tmp_path: Path) -> None:
    """A secret of roomd's own that others can read is found by the check, whoever signs the tokens."""
    pem_file = tmp_path / "issuer.pem"
    pem_file.write_bytes(pem(EC))
    secret_file(tmp_path, SECRET, 0o644).rename(tmp_path / "roomd.secret")
    for auth in (
        no_key_file,
        AuthConfig(jwks_url="https://issuer.example/keys"),
        AuthConfig(public_key_file=str(pem_file)),
    ):
        with pytest.raises(ConfigError, match=r"roomd.secret: others can read it \(mode 0644\)"):
            check_keys(auth, tmp_path / "roomd.db")


def test_the_secret_for_tickets_beside_an_issuer(tmp_path: Path) -> None:
    """It may be configured; then none is made, or looked for, beside the database."""
    file = str(secret_file(tmp_path, SECRET))
    auth = AuthConfig(jwks_url="https://issuer.example/keys", ticket_secret_file=file)
    own = make_own_key(auth, tmp_path / "roomd.db")
    assert own.is_own
    assert own == find_own_key(auth, tmp_path / "other" / "roomd.db")
    assert not local_secret_file(tmp_path / "roomd.db").exists()
    Path(file).chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        check_keys(auth, tmp_path / "roomd.db")


async def test_made_secrets_differ(tmp_path: Path) -> None:
    """No two databases share a made secret."""
    made = [await open_keys(no_key_file, tmp_path / name).keys_for("") for name in ("a.db", "b.db")]
    assert made[0] != made[1]


async def test_made_once_by_many(database: Path) -> None:
    """Processes that start at the same time agree on one secret."""
    barrier = threading.Barrier(8, timeout=PATIENCE)

    def start() -> KeySource:
        barrier.wait()
        return open_keys(no_key_file, database)

    with ThreadPoolExecutor(8) as processes:
        sources = [started.result() for started in [processes.submit(start) for _ in range(8)]]
    assert len({(await source.keys_for(""))[0].material for source in sources}) == 1
    assert [entry.name for entry in database.parent.iterdir()] == ["roomd.secret"]


def test_made_secret_that_others_can_read(database: Path) -> None:
    """The secret beside the database is checked like any other, by the daemon and by the command line."""
    open_keys(no_key_file, database)
    file = local_secret_file(database)
    file.chmod(0o644)
    message = f"auth: {file}: others can read it (mode 0644); run `chmod 600 {file}`"
    assert refusal(no_key_file, database).startswith(message)
    with pytest.raises(ConfigError, match="others can read it"):
        local_secret(no_key_file, database)


def test_secret_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no secret can be made, the message says where and what to do."""
    (tmp_path / "file").touch()
    assert refusal(no_key_file, tmp_path / "file" / "roomd.db").startswith(
        f"auth: {tmp_path / 'file' / 'roomd.secret'}: cannot create the secret: "
    )


def test_database_with_the_secrets_name(tmp_path: Path) -> None:
    """A database is never taken for the secret beside it."""
    assert refusal(no_key_file, tmp_path / "roomd.secret").startswith("database.path: ")


# Public keys


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_public_key_file(tmp_path: Path, database: Path, algorithm: str) -> None:
    """A public key file checks tokens with the one algorithm of its kind of key, and mints none."""
    file = secret_file(tmp_path, pem(PRIVATE[algorithm]), 0o644)
    auth = AuthConfig(public_key_file=str(file))
    token = jwt.encode(CLAIMS, PRIVATE[algorithm], algorithm)
    keys = await open_keys(auth, database).keys_for(token)
    assert [key.algorithm for key in keys] == [algorithm]
    assert verify(token, keys, policy(auth), NOW).user_id == "alice"
    assert local_secret(auth, database) is None


PKCS8 = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PKCS1 = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
NO_KEY = "must be an RSA, EC P-256 or Ed25519 public key in PEM"
BAD_KEYS = {
    "private": (PKCS8, "is a private key; export its public key with `openssl pkey -in {file} -pubout`"),
    "private, traditional": (PKCS1, "is a private key; export its public key"),
    "certificate": (CERTIFICATE, "is a certificate; export its key with `openssl x509 -in {file} -noout -pubkey`"),
    "small RSA": (pem(SMALL_RSA), f"{NO_KEY} (an RSA key of 1024 bits; at least 2048 are needed)"),
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), f"{NO_KEY} (the type of the key is not supported)"),
    "Ed448": (pem(ed448.Ed448PrivateKey.generate()), f"{NO_KEY} (the type of the key is not supported)"),
    "DSA": (pem(dsa.generate_private_key(1024)), NO_KEY),
    "no PEM": (SECRET.encode(), NO_KEY),
    "empty": (b"", NO_KEY),
    "cut": (pem(RSA)[:80], NO_KEY),
}


@pytest.mark.parametrize(("content", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_bad_public_key_file(tmp_path: Path, database: Path, content: bytes, message: str) -> None:
    """A file that holds anything but a fit public key stops the start and says what it holds and what to do."""
    file = secret_file(tmp_path, content)
    text = refusal(AuthConfig(public_key_file=str(file)), database)
    assert text.startswith(f"auth.public_key_file: {file}: {message.format(file=file)}")


def test_key_without_its_algorithm(tmp_path: Path, database: Path) -> None:
    """A key that none of the accepted algorithms can use stops the start, for no token would ever pass."""
    file = secret_file(tmp_path, pem(EC))
    auth = AuthConfig(public_key_file=str(file), algorithms=("RS256", "EdDSA"))
    assert refusal(auth, database) == f"auth.algorithms: RS256, EdDSA does not go with {file}; allowed: ES256"


POLICIES: dict[str, tuple[AuthConfig, Policy]] = {
    "none": (no_key_file, Policy(("HS256",), leeway=10.0)),
    "secret": (AuthConfig(secret=SECRET, leeway=0.0), Policy(("HS256",))),
    "public key": (AuthConfig(public_key_file="k"), Policy(("RS256", "ES256", "EdDSA"), leeway=10.0)),
    "key set": (
        AuthConfig(jwks_url="http://k", algorithms=("ES256",), issuer="i", audience="a"),
        Policy(("ES256",), "i", "a", 10.0),
    ),
}


@pytest.mark.parametrize(("auth", "expected"), POLICIES.values(), ids=POLICIES.keys())
def test_policy(auth: AuthConfig, expected: Policy) -> None:
    """Unless configured, the accepted algorithms follow from the kind of key."""
    assert policy(auth) == expected
