"""The commands `roomd cluster ...`: what an operator does with the nodes of a cluster."""

from typing import Annotated

import typer

from roomd.cli.admin import Daemon
from roomd.cli.options import example, with_options
from roomd.cli.output import say
from roomd.protocol import admin


def cluster_commands() -> typer.Typer:
    """Build the group `roomd cluster`."""
    app = typer.Typer(no_args_is_help=True)
    app.callback()(cluster)
    app.command("drain", epilog=example("roomd cluster drain a", "roomd cluster drain a --undo"))(
        with_options(Daemon, drain)
    )
    return app


def cluster() -> None:
    """Have the nodes of a cluster do something. `roomd status` lists them."""


def drain(
    daemon: Daemon,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Its name, `cluster.node`.")],
    undo: Annotated[bool, typer.Option("--undo", help="Take rooms again.")] = False,
) -> None:
    """Have a node give its rooms to the others, e.g. before it is stopped. Nobody loses a connection.

    Its own clients stay connected to it, and are in rooms of other nodes. It takes rooms again after --undo or a
    restart. The daemon that is asked may be any node.
    """
    done = daemon.order("/cluster/drain", admin.DrainNode(node=node, is_drained=not undo), admin.Drained)
    if undo:
        say(f"{node}: takes rooms again")
    else:
        say(f"{node}: {done.rooms} rooms given up; it takes none until `roomd cluster drain {node} --undo`")
