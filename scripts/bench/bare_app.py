"""`python -m bench.bare_app PORT`: what FastAPI itself costs, on the server settings of Orpheus.

`POST /jobs` has the body model of Orpheus and answers an object of the same size without doing
anything; `POST /bare` does not even have a body model.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.responses import Response

from orpheus.api.schemas import JobRequest

app = FastAPI(openapi_url=None)
# As long as what Orpheus answers to a submit.
_ANSWER = json.dumps({"id": 123456, "state": "pending", "filler": "x" * 620}).encode() + b"\n"


@app.post("/jobs", status_code=201, response_model=None)
async def jobs(body: JobRequest) -> Any:
    """Parsed and validated, nothing else."""
    headers = {"Location": f"/jobs/{len(body.type)}"}
    return Response(_ANSWER, 201, headers, media_type="application/json")


@app.post("/bare", response_model=None)
async def bare() -> Any:
    """One exchange."""
    return Response(b"{}\n", media_type="application/json")


def main() -> int:
    """Serve until TERM."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
