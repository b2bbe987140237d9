"""Object storage on loopback: the part of Amazon S3's REST protocol that a store of files needs.

PutObject (with If-Match and If-None-Match), GetObject, HeadObject, DeleteObject, DeleteObjects and ListObjectsV2, path
style, at `/s3/BUCKET/KEY`. Every bucket exists, every signature passes, and everything is gone when the server ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from xml.sax.saxutils import escape, unescape

from aiohttp import web

from sandbox.desk import Now

_MOST_LISTED = 1000
_KEY = re.compile(r"<Key>(.*?)</Key>")


class ObjectsDesk:
    """Buckets of objects in memory.

    Args:
        clock: Says when an object was last changed.
    """

    def __init__(self, clock: Now) -> None:
        self._clock = clock
        self.objects: dict[str, tuple[bytes, int]] = {}
        """`BUCKET/KEY` -> content, and when it was put, UTC milliseconds."""
        self.before_put: Callable[[str], None] = lambda _key: None
        """Called with `BUCKET/KEY` before a put is looked at: somebody else may be quicker."""

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_put("/s3/{bucket}/{key:.+}", self._put)
        app.router.add_get("/s3/{bucket}/{key:.+}", self._get)
        app.router.add_delete("/s3/{bucket}/{key:.+}", self._delete)
        app.router.add_post("/s3/{bucket}", self._delete_several)
        app.router.add_get("/s3/{bucket}", self._list)
        app.router.add_get("/s3/{bucket}/", self._list)

    async def _put(self, request: web.Request) -> web.Response:
        key = _key(request)
        body = await request.content.read()  # whole, however large
        self.before_put(key)
        held = self.objects.get(key)
        wanted = request.headers.get("If-Match")
        if request.headers.get("If-None-Match") == "*" and held is not None:
            return _refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if wanted is not None and (held is None or wanted.strip('"') != _tag(held[0])):
            if held is None:
                return _refused(404, "NoSuchKey", "The specified key does not exist.")
            return _refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        self.objects[key] = body, self._clock.now_ms()
        return web.Response(headers={"ETag": f'"{_tag(body)}"'})

    async def _get(self, request: web.Request) -> web.Response:
        """GetObject; aiohttp answers HeadObject from it, without the body."""
        held = self.objects.get(_key(request))
        if held is None:
            return _refused(404, "NoSuchKey", "The specified key does not exist.")
        changed = datetime.fromtimestamp(held[1] / 1000, tz=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return web.Response(body=held[0], headers={"ETag": f'"{_tag(held[0])}"', "Last-Modified": changed})

    async def _delete(self, request: web.Request) -> web.Response:
        self.objects.pop(_key(request), None)
        return web.Response(status=204)

    async def _delete_several(self, request: web.Request) -> web.Response:
        """DeleteObjects: names that are not there are deleted too."""
        bucket = request.match_info["bucket"]
        if "delete" not in request.query:
            return _refused(400, "InvalidRequest", "Only DeleteObjects is posted to a bucket.")
        names = [unescape(name) for name in _KEY.findall(await request.text())]
        for name in names:
            self.objects.pop(f"{bucket}/{name}", None)
        rows = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
        text = f'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</DeleteResult>'
        return web.Response(text=text, content_type="application/xml")

    async def _list(self, request: web.Request) -> web.Response:
        bucket, prefix = request.match_info["bucket"], request.query.get("prefix", "")
        after = request.query.get("continuation-token") or request.query.get("start-after", "")
        names = sorted(key.removeprefix(f"{bucket}/") for key in self.objects if key.startswith(f"{bucket}/{prefix}"))
        names = [name for name in names if name > after]
        shown = names[:_MOST_LISTED]
        more = len(names) > len(shown)
        rows = "".join(self._row(bucket, name) for name in shown)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount>"
            f"<MaxKeys>{_MOST_LISTED}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
            "</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")

    def _row(self, bucket: str, name: str) -> str:
        body, put_ms = self.objects[f"{bucket}/{name}"]
        changed = datetime.fromtimestamp(put_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{escape(name)}</Key><LastModified>{changed}</LastModified><ETag>&quot;{_tag(body)}&quot;"
            f"</ETag><Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )


def _key(request: web.Request) -> str:
    return f"{request.match_info['bucket']}/{request.match_info['key']}"


def _tag(body: bytes) -> str:
    """S3's ETag of an object put in one piece."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _refused(status: int, code: str, message: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")
