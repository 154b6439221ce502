"""Hello, and a profile for who shows a good token: the least a FastAPI service has to do."""

import os
import sys

import jwt
import orjson
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response

SECRET = os.environ["BENCH_JWT_SECRET"]
with open(os.environ["BENCH_PROFILE"], "rb") as file:
    profile = orjson.loads(file.read())
PROFILES = {profile["username"]: profile}
app = FastAPI()


@app.get("/")
async def hello():
    return Response("Hello, world!", media_type="text/plain")


@app.get("/api/profile/{username}")
async def read(username: str, authorization: str = Header("")):
    try:
        token = authorization.removeprefix("Bearer ")
        jwt.decode(token, SECRET, algorithms=["HS256"], audience="authenticated", issuer="farm")
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    found = PROFILES.get(username)
    if found is None:
        raise HTTPException(404)
    # Not through FastAPI's own encoder, which would take longer.
    return Response(orjson.dumps(found), media_type="application/json")


if __name__ == "__main__":
    config = uvicorn.Config(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    socket = config.bind_socket()
    socket.listen(2048)
    print("ready", flush=True)
    uvicorn.Server(config).run(sockets=[socket])
