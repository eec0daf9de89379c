"""`fathom explore`: the explorer in the browser, or as files."""

from __future__ import annotations

import logging
import sys
import time
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fathom.errors import require

_FLAG = Parameter(negative="", show_default=False)
_PORT, _HOST, _RUNS = 8050, "127.0.0.1", Path("runs")


def explore(
    *,
    port: int | None = None,
    host: str | None = None,
    runs: Path = _RUNS,
    no_browser: Annotated[bool, _FLAG] = False,
    export: Path | None = None,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Open the explorer: networks, runs, claims and experiments to look at and to touch.

    Parameters
    ----------
    port
        Where it listens, 8050 by default; 0 takes any free port.
    host
        Where it listens, 127.0.0.1 by default: this machine alone. Others need the token that is
        then printed with the address.
    runs
        The folder whose runs are shown.
    no_browser
        Print the address, and open nothing.
    export
        Instead write a read-only site into this folder, for any web host: architectures, claims,
        experiments, and the reports of the runs with their paths, commands and example images.
        An earlier export there is replaced; anything else is refused.
    json
        Print one JSON object: the address, or what was written.
    """
    if export is None:
        return _serve(port, host, runs, no_browser=no_browser, as_json=json)
    given = {"--port": port is not None, "--host": host is not None, "--no-browser": no_browser}
    idle = [name for name, there in given.items() if there]
    require(not idle, f"{idle and idle[0]} has no effect with --export; leave it out")
    return _export(export, runs, as_json=json)


def _export(folder: Path, runs: Path, *, as_json: bool) -> int:
    """Write the site, and say so in a line."""
    from fathom.cli.app import show_json
    from fathom.cli.follow import terminable
    from fathom.cli.tables import console
    from fathom.website import pages, write_site

    require(runs == _RUNS or runs.is_dir(), f"there is no folder {runs} of runs")
    began = time.monotonic()
    waiting = console(stderr=True).status("all networks and all claims take a minute or two")
    try:
        with terminable(), waiting:
            site = write_site(folder, pages(runs))
    except KeyboardInterrupt:
        print("fathom: stopped; nothing was written", file=sys.stderr)
        return 130
    seconds = time.monotonic() - began
    if as_json:
        written = {"pages": site.pages, "files": len(site.files), "bytes": site.bytes}
        show_json({"site": str(site.folder), **written, "seconds": round(seconds, 1)})
    else:
        print(f"site: {site.folder / 'index.html'}, {site.pages} pages, "
              f"{site.bytes / 1e6:.1f} MB, {seconds:.0f} s")  # fmt: skip
    return 0


def _serve(
    port: int | None, host: str | None, runs: Path, *, no_browser: bool, as_json: bool
) -> int:
    """Show the explorer until Ctrl-C."""
    require(
        find_spec("dash") is not None and find_spec("dash_mantine_components") is not None,
        "the explorer needs two packages more: pip install 'fathom[explore]'",
    )
    from fathom.cli.app import show_json
    from fathom.cli.follow import terminable
    from fathom.explorer.app import make_app
    from fathom.explorer.pages import all_pages
    from fathom.explorer.served import serve_reports
    from fathom.explorer.server import listen, new_token, protect

    host = _HOST if host is None else host
    app = make_app(all_pages(runs))
    serve_reports(app.server, runs)
    token = new_token(host)
    server = listen(app, host=host, port=_PORT if port is None else port)
    protect(app, host=host, token=token)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{server.port}/" + (f"?token={token}" if token else "")
    if as_json:
        show_json({"address": address})
        sys.stdout.flush()
    else:
        print(f"fathom explorer: {address}", flush=True)
    print("stop it with Ctrl-C", file=sys.stderr)
    if not no_browser:
        webbrowser.open(address)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    try:
        with suppress(KeyboardInterrupt), terminable():  # how it is meant to be stopped
            server.serve_forever()
    finally:
        server.server_close()
    return 0
