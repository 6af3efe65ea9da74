"""Folders for programs that run as another user, who may not reach the folders of the measurements."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.processes import StartFailed

VAR_TMP = Path("/var/tmp")  # open to every user, and on a disk where /tmp may be in memory


@contextmanager
def folder_of(user: pwd.struct_passwd | None, prefix: str, places: Sequence[Path]) -> Iterator[Path]:
    """Make a folder (mode 0700) that belongs to `user`, in the first of `places` that this user can reach.

    The folder is removed when the block ends. Without a `user` it belongs to who runs this. Raises `StartFailed`, with
    the reason for each place, when there is none.
    """
    reasons = []
    for place in places:
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        except OSError as exc:
            reasons.append(f"{place}: {exc.strerror}")
            continue
        try:
            if user is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
            if user is None or can_use(user, folder):
                yield folder
                return
            reasons.append(f"{place}: {closed_to(user, folder)}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    name = user.pw_name if user else pwd.getpwuid(os.geteuid()).pw_name
    raise StartFailed(f"no folder for the user {name}:\n" + "\n".join(f"  {reason}" for reason in reasons))


def can_use(user: pwd.struct_passwd, folder: Path, access: str = "-w") -> bool:
    """Try whether `user` can enter `folder` and write to it, or only enter it with `access` -x."""
    # By a process of that user: modes, access control lists and mount options all count.
    return (
        subprocess.run(
            ["/usr/bin/test", access, folder, "-a", "-x", folder],
            check=False, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        ).returncode
        == 0
    )  # fmt: skip


def closed_to(user: pwd.struct_passwd, folder: Path) -> str:
    """Name the outermost folder on the way to `folder` that `user` cannot enter."""
    for parent in (*reversed(folder.parents), folder):
        if not can_use(user, parent, "-x"):
            return f"the user {user.pw_name} cannot enter {parent} (mode {parent.stat().st_mode & 0o7777:04o})"
    return f"the user {user.pw_name} cannot write there"
