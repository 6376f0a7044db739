"""The documents of a drill: written, corrected and deleted in each region that serves, and looked for in the other."""

from collections.abc import Mapping
from typing import Any

from payment_dr.operations.aws import asked
from payment_dr.operations.drill.journal import DocumentsRecord, copied_sides
from payment_dr.operations.drill.outages import DOCUMENTS_PREFIX
from payment_dr.operations.drill.place import Place
from payment_dr.side import OTHER, SIDES, Side

CORRECTED_LATER = "corrected-later"  # written in the primary, and corrected in the secondary while that serves
Etags = Mapping[Side, Mapping[str, str]]


class Documents:
    """Writes documents while a region serves, and finds those that the other region has not.

    S3 replicates most objects within 15 minutes and promises no time, so nothing is compared before the end:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-troubleshoot.html

    Args:
        place: Where the drill happens; without buckets there are no documents.
        drill_id: Part of the documents' keys.

    Example:
        >>> documents = Documents(place, "2026-11-22T16-50-03Z-region")  # doctest: +SKIP
        >>> documents.write("primary")  # doctest: +SKIP
        >>> documents.compare()["missing"]  # doctest: +SKIP
        {'primary': [], 'secondary': []}
    """

    def __init__(self, place: Place, drill_id: str) -> None:
        self._place, self._prefix = place, f"{DOCUMENTS_PREFIX}{drill_id}"
        self._written: dict[str, tuple[Side, str | None]] = {}  # where a key was last written, and its ETag

    def write(self, side: Side) -> None:
        """Write documents in the bucket of the region that serves: one stays, one is corrected, one is deleted.

        The primary's bucket gets a fourth one, which is corrected in the secondary's.

        Raises:
            CannotTellError: S3 does not take them.
        """
        if not self._place.buckets:
            return
        for name in ("kept", "corrected", "deleted"):
            self._put(side, f"{side}-{name}", "first")
        self._put(side, f"{side}-corrected", "corrected")
        self._delete(side, f"{side}-deleted")
        self._put(side, CORRECTED_LATER, f"of the {side} region")

    def compare(self) -> DocumentsRecord | None:
        """What each bucket lacks of the other one now, or has differently; None where there are no buckets.

        Every document in the buckets is compared, not those of the drill alone.

        Raises:
            CannotTellError: S3 does not list them.
        """
        if not self._place.buckets:
            return None
        there = {side: self._etags(side) for side in SIDES}
        return {
            "copied_back": self._place.stack.has_two_way_documents,
            "written": {side: sum(self._home(key, there) == side for key in self._living(there)) for side in SIDES},
            "missing": {side: self._missing(side, there) for side in SIDES},
            "deleted_in_one_region": sorted(
                key for key, (side, etag) in self._written.items() if etag is None and key in there[OTHER[side]]
            ),
        }

    @staticmethod
    def is_settled(found: DocumentsRecord | None) -> bool:
        """Whether nothing more is expected to be copied."""
        return found is None or not any(found["missing"][side] for side in copied_sides(found))

    def _living(self, there: Etags) -> set[str]:
        deleted = {key for key, (_, etag) in self._written.items() if etag is None}
        return {*there["primary"], *there["secondary"]} - deleted

    def _home(self, key: str, there: Etags) -> Side:
        """Where a document was last written; one of others is the primary's, unless that has none of its name."""
        if key in self._written:
            return self._written[key][0]
        return "primary" if key in there["primary"] else "secondary"

    def _missing(self, side: Side, there: Etags) -> list[str]:
        """Documents of a side that the other bucket lacks or has differently, or that are overwritten in its own."""
        found = []
        for key in self._living(there):
            if self._home(key, there) == side:
                expected = self._written.get(key, (side, there[side].get(key)))[1]
                if any(there[each].get(key) != expected for each in SIDES):
                    found.append(key)
        return sorted(found)

    def _put(self, side: Side, name: str, content: str) -> None:
        client, bucket, key = self._client(side), self._place.buckets[side], f"{self._prefix}/{name}.json"
        body = f'{{"receipt": "{content}"}}'.encode()
        answer = asked("S3", lambda: client.put_object(Bucket=bucket, Key=key, Body=body))
        self._written[key] = side, str(answer["ETag"])

    def _delete(self, side: Side, name: str) -> None:
        client, bucket, key = self._client(side), self._place.buckets[side], f"{self._prefix}/{name}.json"
        asked("S3", lambda: client.delete_object(Bucket=bucket, Key=key))
        self._written[key] = side, None

    def _etags(self, side: Side) -> dict[str, str]:
        pages = self._client(side).get_paginator("list_objects_v2").paginate(Bucket=self._place.buckets[side])
        return asked("S3", lambda: {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", [])})

    def _client(self, side: Side) -> Any:
        return self._place.stack.client("s3", side)
