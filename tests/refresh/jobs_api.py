"""Connections, lists of users, export jobs and their files, as Auth0 has them, with its limits and refusals.

By its pages "Bulk User Exports" and "List or Search Users", and its reference: a link to a file lasts 60 seconds, a job
is kept for 24 hours, `GET /users` gives at most 100 users a page. The file is in S3, which answers a request that
has both a signature and an ``Authorization`` header with 400. The tests choose the answers that Auth0 does not
document.
"""

import gzip
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.refresh.refusals import refusal

Json = dict[str, Any]
Answer = tuple[int, Any]

DEFAULT_FIELDS = ("user_id", "email", "name")
"""Some of the fields that Auth0 exports where a job names none; metadata are not among them."""
PATH = re.compile(r"[A-Za-z0-9_-]{1,100}")


File = tuple[int, bytes, Mapping[str, str], float, int | None]
"""An answer of S3: status, body, headers, seconds, and the bytes after which the connection breaks."""


class JobsApi:
    """Keeps jobs by id; the users are those of the Management API."""

    def __init__(self, users: Callable[[], Mapping[str, bytes]]) -> None:
        self._users = users
        self.connections: dict[str, str] = {}
        """Name by id."""
        self.jobs: dict[str, Json] = {}
        self.files: dict[str, bytes] = {}
        self.bodies: list[Json] = []
        """The bodies of the requests for a job."""
        self.looks = 2
        """Requests for a job before it is complete."""
        self.most = 2
        """Jobs at a time; Auth0 does not document it for exports."""
        self.refused: set[str] = set()
        """Fields that a job may not name."""
        self.never: set[str] = set()
        """Fields that Auth0 leaves out of exports."""
        self.longest: int | None = None
        """Characters of a user above which an export leaves out the metadata."""
        self.fails: Json | None = None
        """The errors with which jobs fail."""
        self.link_seconds = 60.0
        self.seconds = 0.0
        """Seconds before a file comes."""
        self.breaks: list[int] = []
        """Bytes after which the next downloads break."""
        self.downloads: list[tuple[str, str]] = []
        """The path and the range of each download."""
        self.url = ""

    def answer(self, method: str, path: str, body: bytes, scopes: set[str]) -> Answer | None:
        """Answer a request; None for a path of others."""
        address = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        place = address.path.removeprefix("/api/v2/")
        needs = "read:connections" if place == "connections" else "read:users"
        if not (place in ("connections", "users") or place.startswith("jobs/")):
            return None
        if needs not in scopes:
            return refusal(403, f"Insufficient scope, expected any of: {needs}", "insufficient_scope")
        if place == "connections":
            return 200, self._page(query)
        if place == "users":
            return self._list(query)
        if method == "POST" and place == "jobs/users-exports":
            return self._start(json.loads(body))
        job_id, _, beneath = place.removeprefix("jobs/").partition("/")
        if job_id not in self.jobs:
            return refusal(404, "The job does not exist", "inexistent_job")
        if beneath == "errors":
            return (200, self.fails["errors"]) if self.fails else (204, None)
        return 200, self._look(self.jobs[job_id])

    def _page(self, query: dict[str, str]) -> Json:
        begin, most = int(query.get("from", "0")), min(int(query["take"]), 100)
        listed = [{"id": each, "name": name} for each, name in self.connections.items()]
        after = {"next": str(begin + most)} if begin + most < len(listed) else {}
        return {"connections": listed[begin : begin + most]} | after

    def _list(self, query: dict[str, str]) -> Answer:
        if not 1 <= int(query["per_page"]) <= 100:
            return refusal(400, "Query validation error: per_page", "invalid_query_string")
        found = [json.loads(body) for body in self._users().values()]
        if "q" in query:
            name = re.fullmatch(r'identities\.connection:"((?:[^"\\]|\\.)*)"', query["q"])
            if name is None:
                return refusal(400, "invalid query", "invalid_query_string")
            wanted = re.sub(r"\\(.)", r"\1", name[1])
            found = [user for user in found if _is_of(user, wanted)]
        page = found[: int(query["per_page"])]
        if "fields" in query:
            page = [{key: user[key] for key in query["fields"].split(",") if key in user} for user in page]
        if query.get("include_totals") == "true":
            return 200, {"start": 0, "limit": len(page), "length": len(page), "total": len(found), "users": page}
        return 200, page

    def _start(self, body: Json) -> Answer:
        self.bodies.append(body)
        running = [job for job in self.jobs.values() if job["status"] in ("pending", "processing")]
        if len(running) >= self.most:
            said = f"There are {len(running)} active export users jobs, please wait until some of them are finished"
            return refusal(429, f"{said} and try again", "too_many_jobs")
        names = [field["name"] for field in body.get("fields", [])] or [*DEFAULT_FIELDS]
        if not all(map(PATH.fullmatch, names)) or self.refused.intersection(names):
            return refusal(400, "Payload validation error: fields", "invalid_body")
        if "connection_id" in body and body["connection_id"] not in self.connections:
            return refusal(400, "connection_id does not exist", "inexistent_connection")
        job_id = f"job_{len(self.jobs) + 1:016}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 1))
        self.jobs[job_id] = {
            "id": job_id, "type": "users_export", "status": "pending", "created_at": moment, "looks": self.looks
        }  # fmt: skip
        wanted = self.connections.get(body.get("connection_id", ""))
        users = [json.loads(one) for one in self._users().values()]
        lines = [self._line(user, names) for user in users if wanted is None or _is_of(user, wanted)]
        self.files[job_id] = gzip.compress(b"".join(lines[: body.get("limit")]), mtime=0)
        return 200, self.shown(job_id)

    def _line(self, user: Json, names: list[str]) -> bytes:
        kept = {name: user[name] for name in names if name in user and name not in self.never}
        if self.longest is not None and len(json.dumps(kept)) > self.longest:
            kept.pop("user_metadata", None)
        return json.dumps(kept).encode() + b"\n"

    def _look(self, job: Json) -> Json:
        if job["status"] not in ("completed", "failed"):
            job["looks"] -= 1
            job["status"] = "processing" if job["looks"] > 0 else "failed" if self.fails else "completed"
        return self.shown(job["id"])

    def shown(self, job_id: str) -> Json:
        job = self.jobs[job_id]
        shown = {key: value for key, value in job.items() if key != "looks"}
        if job["status"] == "processing":
            shown |= {"percentage_done": 40, "time_left_seconds": 90}
        if job["status"] == "failed" and self.fails:
            shown["status_details"] = self.fails["details"]
        if job["status"] == "completed":
            expires = time.time() + self.link_seconds
            shown["location"] = f"{self.url}/files/{job_id}.json.gz?X-Amz-Signature=s&expires={expires}"
        return shown

    def file(self, path: str, headers: Mapping[str, str]) -> File:
        """Answer as S3 does to a signed link."""
        address = urlsplit(path)
        job_id = address.path.removeprefix("/files/").removesuffix(".json.gz")
        self.downloads.append((job_id, headers.get("Range", "")))
        if "Authorization" in headers:
            return 400, b"<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message>", {}, 0, None
        if float(parse_qs(address.query)["expires"][0]) < time.time():
            return 403, b"<Code>AccessDenied</Code><Message>Request has expired</Message>", {}, 0, None
        body, status = self.files[job_id], 200
        etag = f'"{hash(body)}"'
        if headers.get("If-Match", etag) != etag:
            return 412, b"<Code>PreconditionFailed</Code>", {}, 0, None
        if begin := re.fullmatch(r"bytes=([0-9]+)-", headers.get("Range", "")):
            body, status = body[int(begin[1]) :], 206
        return (status, body, {"ETag": etag}, self.seconds, self.breaks.pop(0) if self.breaks else None)


def _is_of(user: Json, connection: str) -> bool:
    return any(identity.get("connection") == connection for identity in user["identities"])
