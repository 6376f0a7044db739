"""Documents of a drill: what each region writes, and what the other one has of it in the end."""

from collections.abc import Callable

import pytest

from payment_dr.operations.drill.documents import Documents
from payment_dr.operations.drill.journal import DocumentsRecord
from tests.operations.drill.parts import place_on
from tests.operations.stack import Stack


def keys(*names: str) -> list[str]:
    return [f"dr-drill/a-drill/{name}.json" for name in names]


OF_THE_PRIMARY = keys("primary-corrected", "primary-kept")
OF_THE_SECONDARY = keys("corrected-later", "secondary-corrected", "secondary-kept")


def drilled(stack: Stack) -> DocumentsRecord:
    """What is found after both regions have served."""
    documents = Documents(place_on(stack), "a-drill")
    documents.write("primary")
    documents.write("secondary")
    found = documents.compare()
    assert found is not None
    return found


@pytest.mark.parametrize(("two_way", "missing"), [(False, OF_THE_SECONDARY), (True, [])])
def test_documents_of_the_secondary_come_back_only_where_the_stack_copies_them(
    make_stack: Callable[..., Stack], two_way: bool, missing: list[str]
) -> None:
    assert drilled(make_stack(two_way=two_way)) == {
        "copied_back": two_way,
        "written": {"primary": 2, "secondary": 3},
        "missing": {"primary": [], "secondary": missing},
        "deleted_in_one_region": keys("primary-deleted", *(["secondary-deleted"] if two_way else [])),
    }


def test_a_document_is_kept_and_one_corrected_and_one_deleted(stack: Stack) -> None:
    Documents(place_on(stack), "a-drill").write("primary")
    puts, deletion = [("put_object", "primary")], [("delete_object", "primary")]
    assert stack.calls == puts * 4 + deletion + puts
    first, corrected, later = list(stack.objects["primary"].values())
    assert len({first, corrected, later}) == 3
    assert list(stack.objects["primary"]) == keys("primary-kept", "primary-corrected", "corrected-later")


def test_documents_of_the_primary_that_are_not_copied_are_named(stack: Stack) -> None:
    stack.replicates = False
    assert drilled(stack)["missing"]["primary"] == OF_THE_PRIMARY


def test_a_correction_that_a_later_copy_has_overwritten_is_missing(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(two_way=True)
    documents = Documents(place_on(stack), "a-drill")
    documents.write("primary")
    documents.write("secondary")
    (key,) = keys("corrected-later")
    for side in ("primary", "secondary"):
        stack.objects[side][key] = b"of before"
    found = documents.compare()
    assert found is not None
    assert found["missing"]["secondary"] == [key]


def test_documents_of_others_are_compared_too(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(two_way=True)
    stack.objects["primary"] |= {"theirs": b"1", "differs": b"1", "equal": b"1"}
    stack.objects["secondary"] |= {"differs": b"2", "equal": b"1", "there": b"1"}
    assert drilled(stack)["missing"] == {"primary": ["differs", "theirs"], "secondary": ["there"]}


def test_a_place_without_buckets_gets_no_documents(stack: Stack) -> None:
    documents = Documents(place_on(stack, buckets={}), "a-drill")
    documents.write("primary")
    assert documents.compare() is None
    assert Documents.is_settled(None)
    assert stack.calls == []
