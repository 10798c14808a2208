"""The server of ``seqrec serve``: models behind HTTP, ranked in batches."""

from importlib.util import find_spec

from seqrec.errors import SeqRecError

PACKAGES = ("fastapi", "httptools", "httpx", "orjson", "prometheus_client", "uvicorn", "uvloop")

for _name in PACKAGES:
    if find_spec(_name) is None:
        raise SeqRecError(
            f"serve: needs the package {_name}; install it with pip install 'seqrec[serve]'"
        )
