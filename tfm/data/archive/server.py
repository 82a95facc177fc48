"""The server of a bucket, and a short check whether it answers before anything long begins."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from tfm.core import hints
from tfm.core.errors import DataError, HaltedError
from tfm.data.archive.index import Series

_CHECK_SECONDS = 10.0
_EXAMPLES = 3
_ELSEWHERE = (
    f"choose another {hints.setting('endpoint')}: https://s3.amazonaws.com (AWS) and https://storage.googleapis.com "
    "(Google) have the same files"
)


@dataclass(frozen=True)
class Server:
    endpoint: str
    series: Sequence[Series]  # that it must have
    connections: int
    timeout: int  # seconds without a byte after which it counts as lost

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.endpoint).netloc

    def check_connection(self) -> None:
        """Look for a few of the series. Raise an error if none of them can be had, with the reason."""
        examples = self.series[:: max(1, len(self.series) // _EXAMPLES)]
        if not any(_has_key(self._list(one)) for one in examples):
            raise DataError(
                f"the bucket {examples[0].bucket} at {self.host} has none of these series, such as "
                f"{examples[0].subject}",
                hint=f"the archive may have moved them: install a newer index (python -m pip install --upgrade "
                f"idc-index-data), or {_ELSEWHERE}",
            )

    def _list(self, series: Series) -> bytes:
        query = urllib.parse.urlencode({"list-type": 2, "prefix": f"{series.key}/", "max-keys": 1})
        try:
            url = f"{self.endpoint.rstrip('/')}/{series.bucket}?{query}"
            with urllib.request.urlopen(url, timeout=_CHECK_SECONDS) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            words = {403: "lets nobody read the bucket", 404: "has no bucket"}
            said = words.get(error.code, f"answers with error {error.code} for the bucket")
            raise DataError(f"{self.host} {said} {series.bucket}", hint=_ELSEWHERE) from None
        except (OSError, http.client.HTTPException) as error:
            raise HaltedError(
                f"{self.host} cannot be reached: {getattr(error, 'reason', error)}",
                hint=f"check the network, and resume; behind a proxy, set HTTPS_PROXY. Or {_ELSEWHERE}. Without a "
                "network, organize what a colleague or NBIA Data Retriever has downloaded",
            ) from None
        return content


def _has_key(content: bytes) -> bool:
    """Whether a listing in S3's XML names an object."""
    try:
        return any(element.tag.rpartition("}")[2] == "Key" for element in ElementTree.fromstring(content).iter())
    except ElementTree.ParseError:  # a page of a hotel or a proxy
        return False
