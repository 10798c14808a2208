"""The server of ``seqrec serve``: models behind HTTP, ranked in batches."""

import sys
from importlib.util import find_spec

from seqrec.errors import SeqRecError

PACKAGES = ["fastapi", "httptools", "httpx", "orjson", "prometheus_client", "uvicorn"]
if sys.platform != "win32":  # for which there is no uvloop; asyncio's own loop stands in
    PACKAGES.append("uvloop")

for _name in PACKAGES:
    if find_spec(_name) is None:
        raise SeqRecError(
            f"serve: needs the package {_name}; install it with pip install 'seqrec[serve]'"
        )
