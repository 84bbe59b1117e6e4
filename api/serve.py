"""`python -m api.serve`: one process of the API. Several may run on one port.

Each listens on a socket of its own, so that the kernel spreads connections over them. On a shared one whoever wakes
first takes all that wait: a page's six, or a meter's sixteen, end up in one process while the others idle.
"""

import gc
import socket

import uvicorn

from api.main import app
from gis.settings import settings


def listener(host: str, port: int) -> socket.socket:
    """A bound socket that shares its port. Raises ``OSError`` when somebody has the port who does not share."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((host, port))
    return found


def main() -> None:
    """Serve until told to stop."""
    here = settings()
    # What is imported stays: looking through it for garbage, over and over, costs a tenth of a busy process.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(app, access_log=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run([listener(here.host, here.port)])


if __name__ == "__main__":
    main()
