"""`python -m bench.peers.install`: what the peers need from npm and Debian; PyPI's part is the dependency group bench.

From npm come the libraries and Node itself, as Colyseus and better-sqlite3 want a newer one than Debian has. Nothing
is compiled and no script of a package is run. Peers that still lack something are named; `python -m bench` stops at
them, unless it is told to leave them out.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers import postgres
from bench.peers.servers import HERE, NODE, PEERS, missing

# Debian's postgresql-common makes a cluster and starts it when the first server is installed, unless it is told not to:
# for this once, in the folder that its own createcluster.conf includes.
SCRIPT = """
set -e
no_cluster=/etc/postgresql-common/createcluster.d/roomd-bench.conf
trap 'rm -f $no_cluster' EXIT
mkdir -p ${no_cluster%/*}
echo 'create_main_cluster = false' >$no_cluster
install='env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql'
$install || { apt-get update && $install; }
"""


def main() -> None:
    """Install what is missing."""
    if not NODE.exists() or _is_stale():
        _install_npm()
    if postgres.programs() is None:
        _install_postgres()
    for name in PEERS:
        if lacking := missing(name):
            print(f"{name} cannot be measured: it needs {lacking}", file=sys.stderr)


def _is_stale() -> bool:
    installed, lock = HERE / "node_modules/.package-lock.json", HERE / "package-lock.json"
    return not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime


def _install_npm() -> None:
    if shutil.which("npm") is None:
        print("npm is missing (Debian: npm)", file=sys.stderr)
        return
    # npm runs on the system's Node, which is older than the one these packages will run on.
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=HERE, check=False).returncode == 0:
        Path(HERE / "node_modules/.package-lock.json").touch()


def _install_postgres() -> None:
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or subprocess.run([*root, "true"], check=False).returncode != 0:
        print("PostgreSQL is missing (Debian: postgresql)", file=sys.stderr)
        return
    subprocess.run([*root, "sh", "-c", SCRIPT], check=False)


if __name__ == "__main__":
    main()
