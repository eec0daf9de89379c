"""`fathom explore`: the explorer in the browser."""

from __future__ import annotations

import logging
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fathom.errors import require


def explore(
    *,
    port: int = 8050,
    host: str = "127.0.0.1",
    runs: Path = Path("runs"),
    no_browser: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Open the explorer: networks, runs, claims and experiments to look at and to touch.

    Parameters
    ----------
    port
        Where it listens; 0 takes any free port.
    host
        Where it listens; by default this machine alone. Others need the token that is then printed
        with the address.
    runs
        The folder whose runs are shown.
    no_browser
        Print the address, and open nothing.
    """
    require(
        find_spec("dash") is not None and find_spec("dash_mantine_components") is not None,
        "the explorer needs two packages more: pip install 'fathom[explore]'",
    )
    from fathom.explorer.app import make_app
    from fathom.explorer.pages import all_pages
    from fathom.explorer.server import listen, new_token, protect

    app = make_app(all_pages(runs))
    token = new_token(host)
    server = listen(app, host=host, port=port)
    protect(app, host=host, token=token)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{server.port}/" + (f"?token={token}" if token else "")
    print(f"fathom explorer: {address}", flush=True)
    print("stop it with Ctrl-C", file=sys.stderr)
    if not no_browser:
        webbrowser.open(address)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    try:
        with suppress(KeyboardInterrupt):  # how it is meant to be stopped
            server.serve_forever()
    finally:
        server.server_close()
    return 0
