"""Manifests and their verification, on a bucket in memory: nobody changes the archive unnoticed."""

from datetime import date, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pipeline.archive import manifest
from pipeline.archive.manifest import read, write
from pipeline.archive.signed import NotSigned
from pipeline.archive.verify import Report
from pipeline.functions.manifest import BadRequest, Run
from tests.manifest.bucket import (
    KEY_ARN,
    KEYRING,
    SETTINGS,
    START,
    Bucket,
    Key,
    check,
    fill,
    record,
    run,
    sign,
    with_expiry,
)

DAYS = 4


@pytest.fixture
def bucket() -> Bucket:
    return filled()


def filled(days: int = DAYS) -> Bucket:
    made = Bucket()
    fill(made, days)
    return made


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(problem.kind, problem.key) for problem in report.problems]


def logs(bucket: Bucket) -> list[str]:
    return [key for key in sorted(bucket.keys) if key.startswith("logs/")]


def manifests(bucket: Bucket) -> list[str]:
    return [key for key in sorted(bucket.keys) if key.startswith(manifest.MANIFESTS)]


# What is right


def test_each_closed_day_has_one_manifest_and_all_objects_are_proven(bucket: Bucket) -> None:
    assert manifests(bucket) == [f"manifests/dt=2026-11-0{day}/0000.jsonl" for day in range(1, DAYS + 1)]
    report = check(bucket)
    assert kinds(report) == []
    assert (report.manifests, report.objects, report.pending) == (DAYS, 2 * DAYS, 0)
    assert report.bytes == sum(len(bucket.keys[key][0].content) for key in logs(bucket))


def test_a_second_run_changes_nothing(bucket: Bucket) -> None:
    before = {key: list(versions) for key, versions in bucket.keys.items()}
    assert run(bucket) == []
    assert bucket.keys == before


def test_an_empty_archive_has_no_manifest_and_no_problem() -> None:
    bucket = Bucket()
    assert run(bucket) == []
    assert check(bucket).problems == []


def test_days_without_runs_and_without_events_are_caught_up() -> None:
    bucket = Bucket()
    bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", b"1")
    bucket.now += timedelta(days=5, hours=2)
    assert len(run(bucket)) == 5
    assert kinds(check(bucket)) == []
    assert kinds(check(filled(1))) == []


def test_the_day_is_closed_an_hour_after_midnight() -> None:
    bucket = Bucket()
    bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", b"1")
    bucket.now = START + timedelta(days=1, minutes=59)
    assert run(bucket) == []
    bucket.now += timedelta(minutes=1)
    assert run(bucket) == ["manifests/dt=2026-11-01/0000.jsonl"]


def test_a_late_object_is_in_the_next_manifest(bucket: Bucket) -> None:
    bucket.put("logs/dt=2026-11-04/hour=23/late.json.gz", b"late")
    report = check(bucket)
    assert (kinds(report), report.pending) == ([], 1)
    fill(bucket, 1)
    report = check(bucket)
    assert (kinds(report), report.pending, report.objects) == ([], 0, 2 * DAYS + 3)
    assert b"hour=23/late" in bucket.keys["manifests/dt=2026-11-05/0000.jsonl"][0].content


def test_an_object_that_comes_later_than_firehose_tries_is_a_finding(bucket: Bucket) -> None:
    bucket.put("logs/dt=2026-11-01/hour=23/forged.json.gz", b"forged")
    fill(bucket, 1)
    assert kinds(check(bucket)) == [("added", "logs/dt=2026-11-01/hour=23/forged.json.gz")]


def test_an_object_that_is_erased_while_it_is_listed_is_left_out(bucket: Bucket) -> None:
    bucket.put("logs/dt=2026-11-05/hour=00/gone.json.gz", b"gone")
    digest = bucket.digest
    bucket.digest = lambda version: None if "gone" in version.key else digest(version)  # type: ignore[method-assign]  # a fault of this bucket only
    bucket.now += timedelta(days=1)
    [key] = run(bucket)
    assert b"gone" not in bucket.keys[key][0].content


def test_errors_are_listed_by_their_type() -> None:
    bucket = Bucket()
    bucket.put("errors/processing-failed/dt=2026-11-01/1", b"1")
    fill(bucket, 1)
    assert check(bucket).objects == 3
    bucket.erase("errors/processing-failed/dt=2026-11-01/1", "v0")
    assert kinds(check(bucket)) == [("missing", "errors/processing-failed/dt=2026-11-01/1")]


def test_a_run_without_time_leaves_a_part_that_the_next_run_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.functions.manifest.PART", 64)
    bucket = Bucket()
    for number in range(150):
        bucket.put(f"logs/dt=2026-11-01/hour=00/{number:03}.json.gz", b"%d" % number)
    bucket.now += timedelta(days=1, hours=2)
    assert run(bucket, seconds=-1) == []
    assert run(bucket) == [f"manifests/dt=2026-11-01/000{part}.jsonl" for part in range(3)]
    report = check(bucket)
    assert (kinds(report), report.objects, report.manifests) == ([], 150, 3)


def test_of_two_runs_at_once_one_writes(bucket: Bucket) -> None:
    fill(bucket, 1)
    last = manifests(bucket)[-1]
    taken = bucket.keys.pop(last)
    create = bucket.create

    def lose(key: str, content: bytes, lock_until: Any) -> bool:
        bucket.keys.setdefault(key, taken)
        return create(key, content, lock_until)

    bucket.create = lose  # type: ignore[method-assign]  # a fault of this bucket only
    assert run(bucket) == []
    assert kinds(check(bucket)) == []


def test_keys_of_any_form_are_listed() -> None:
    bucket = Bucket()
    keys = ["x/dt=2020-01-01/y", "a\nb", "\u2028", '"', "ü😀", "/", "..", "x" * 900]
    for key in keys:
        bucket.put(f"logs/dt=2026-11-01/{key}", key.encode())
    bucket.now += timedelta(days=1, hours=2)
    run(bucket)
    report = check(bucket)
    assert (kinds(report), report.objects) == ([], len(keys))


# Erasures


def test_a_recorded_erasure_is_explained_before_and_after_it_happens(bucket: Bucket) -> None:
    first, second, *_ = logs(bucket)
    old = {key: bucket.keys[key][0] for key in (first, second)}
    record(bucket, (first, old[first].content, b"without ada"), (second, old[second].content, None))
    assert kinds(check(bucket)) == []
    bucket.put(first, b"without ada")
    bucket.delete(second)
    assert kinds(check(bucket)) == []
    for key in (first, second):
        bucket.erase(key, old[key].id)
    report = check(bucket)
    assert (kinds(report), report.erased, report.rewritten) == ([], 2, 1)
    record(bucket, (first, b"without ada", b"without ada and eve"))
    bucket.put(first, b"without ada and eve")
    bucket.erase(first, bucket.keys[first][1].id)
    assert kinds(check(bucket)) == []


def test_an_erasure_explains_only_the_content_that_it_names(bucket: Bucket) -> None:
    first = logs(bucket)[0]
    old = bucket.keys[first][0]
    record(bucket, (first, old.content, b"without ada"))
    bucket.put(first, b"forged")
    bucket.erase(first, old.id)
    assert kinds(check(bucket)) == [("overwritten", first), ("missing", first)]
    bucket.put(first, b"without ada")
    bucket.erase(first, bucket.keys[first][1].id)
    assert kinds(check(bucket)) == []
    bucket.erase(first, bucket.keys[first][0].id)
    assert kinds(check(bucket)) == [("missing", first)]


def test_an_erasure_on_the_day_itself_is_explained() -> None:
    bucket = Bucket()
    bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", b"ada")
    record(bucket, ("logs/dt=2026-11-01/hour=00/0.json.gz", b"ada", b"nobody"))
    bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", b"nobody")
    bucket.now += timedelta(days=1, hours=2)
    run(bucket)
    assert kinds(check(bucket)) == []


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        {"reason": "because", "reference": "", "objects": []},
        {"reason": "erasure", "reference": "", "objects": [{"key": "logs/1", "before": "0" * 63, "after": None}]},
        {"reason": "erasure", "reference": "", "objects": [{"key": "manifests/1", "before": "0" * 64, "after": None}]},
    ],
)
def test_a_request_in_another_form_is_refused(asked: Any) -> None:
    with pytest.raises(BadRequest):
        Run(SETTINGS, Bucket(), Key(), START).record(asked)


# What an intruder does


def test_a_new_version_over_an_object_is_found(bucket: Bucket) -> None:
    key = logs(bucket)[0]
    bucket.put(key, b"forged")
    assert kinds(check(bucket)) == [("overwritten", key)]


def test_an_object_overwritten_before_its_day_was_closed_is_found() -> None:
    bucket = Bucket()
    for content in (b"ada was here", b"nobody was here"):
        bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", content)
    bucket.now += timedelta(days=1, hours=2)
    run(bucket)
    assert kinds(check(bucket)) == [("overwritten", "logs/dt=2026-11-01/hour=00/0.json.gz")]


def test_an_object_delivered_twice_is_no_finding(bucket: Bucket) -> None:
    key = logs(bucket)[0]
    bucket.put(key, bucket.keys[key][0].content)
    assert kinds(check(bucket)) == []


def test_a_deleted_object_is_found_and_the_version_that_is_left_is_named(bucket: Bucket) -> None:
    key = logs(bucket)[0]
    bucket.delete(key)
    report = check(bucket)
    assert kinds(report) == [("deleted", key)]
    assert bucket.keys[key][1].id in report.problems[0].detail


def test_objects_outside_all_days_are_found(bucket: Bucket) -> None:
    for key in ("logs/1", "logs/other/1", "logs/dt=today/1", "errors/1", "logs/dt=2025-01-01/hour=00/1"):
        bucket.put(key, b"forged")
    assert sorted(key for kind, key in kinds(check(bucket)) if kind == "added") == [
        "errors/1",
        "logs/1",
        "logs/dt=2025-01-01/hour=00/1",
        "logs/dt=today/",
        "logs/other/",
    ]


def test_a_manifest_of_another_key_is_not_signed(bucket: Bucket) -> None:
    key = manifests(bucket)[-1]
    intruder = ec.generate_private_key(ec.SECP256R1())
    header, entries = read(bucket.keys[key][0].content, key, KEYRING.verify, KEY_ARN)
    forged = write(header, entries[1:], lambda digest: sign(digest, intruder), KEY_ARN)
    bucket.keys[key][0].content = forged
    bucket.erase(entries[0].key, entries[0].version)
    assert kinds(check(bucket)) == [("not signed", key)]
    assert check(bucket).unproven == 1
    bucket.now += timedelta(hours=6)
    assert kinds(check(bucket)) == [("not signed", key)]


def test_the_function_continues_no_chain_that_it_did_not_sign(bucket: Bucket) -> None:
    """An intruder who may write below manifests/ would otherwise stop it for years, with a manifest of 2099."""
    key = "manifests/dt=2099-01-01/0000.jsonl"
    header, _ = read(bucket.keys[manifests(bucket)[-1]][0].content, manifests(bucket)[-1], KEYRING.verify, KEY_ARN)
    intruder = ec.generate_private_key(ec.SECP256R1())
    forged = structs.replace(header, day=date(2099, 1, 1), objects=0)
    bucket.put(key, write(forged, [], lambda digest: sign(digest, intruder), KEY_ARN))
    with pytest.raises(NotSigned):
        run(bucket)


def test_an_older_manifest_in_the_place_of_another_is_not_signed(bucket: Bucket) -> None:
    first, *_, last = manifests(bucket)
    bucket.put(last, bucket.keys[first][0].content)
    assert kinds(check(bucket)) == [("not signed", last)]


def test_the_last_manifests_cannot_go_unnoticed(bucket: Bucket) -> None:
    for key in manifests(bucket)[-2:]:
        bucket.erase(key, bucket.keys[key][0].id)
    [problem] = check(bucket).problems
    assert (problem.kind, problem.day, "2026-11-03." in problem.detail) == ("no manifest", date(2026, 11, 3), True)
    bucket.now += timedelta(hours=6)
    [problem] = check(bucket).problems
    assert (problem.kind, problem.day, "2026-11-04." in problem.detail) == ("no manifest", date(2026, 11, 3), True)


def test_the_first_manifests_cannot_go_unnoticed(bucket: Bucket) -> None:
    key = manifests(bucket)[0]
    bucket.erase(key, bucket.keys[key][0].id)
    assert ("chain broken", manifests(bucket)[0]) in kinds(check(bucket))


def test_a_manifest_in_between_cannot_go_unnoticed(bucket: Bucket) -> None:
    key = manifests(bucket)[1]
    bucket.erase(key, bucket.keys[key][0].id)
    report = check(bucket)
    assert [(p.kind, p.day) for p in report.problems] == [("no manifest", date(2026, 11, 2))]
    assert report.unproven == 2


def test_without_any_manifest_all_days_are_without_one() -> None:
    bucket = filled()
    for key in manifests(bucket):
        bucket.erase(key, bucket.keys[key][0].id)
    bucket.now += timedelta(hours=6)
    [problem] = check(bucket).problems
    assert (problem.kind, problem.day) == ("no manifest", date(2026, 11, 1))


def test_expired_objects_are_no_finding_as_long_as_the_manifests_say_so() -> None:
    bucket = Bucket()
    bucket.put("logs/dt=2026-11-01/hour=00/0.json.gz", b"1")
    bucket.now += timedelta(days=1, hours=2)
    run(bucket, with_expiry(30))
    bucket.delete("logs/dt=2026-11-01/hour=00/0.json.gz")
    assert kinds(check(bucket)) == [("deleted", "logs/dt=2026-11-01/hour=00/0.json.gz")]
    bucket.now = START + timedelta(days=31, hours=2)
    run(bucket, with_expiry(30))
    assert kinds(check(bucket)) == []
    bucket.erase("logs/dt=2026-11-01/hour=00/0.json.gz", "v0")
    report = check(bucket)
    assert (kinds(report), report.expired) == ([], 1)


# Any change of anything


# Signatures differ from run to run, so Hypothesis draws numbers, and the tests choose by their remainders.
numbers = st.integers(0, 1 << 20)


def chosen(bucket: Bucket, number: int) -> str:
    return sorted(bucket.keys)[number % len(bucket.keys)]


@given(numbers, numbers, st.integers(1, 255))
def test_any_changed_byte_of_any_object_or_document_is_found(which: int, where: int, bits: int) -> None:
    bucket = filled(2)
    first = logs(bucket)[0]
    record(bucket, (first, bucket.keys[first][0].content, b"without ada"))
    bucket.erase(first, bucket.keys[first][0].id)
    bucket.put(first, b"without ada")
    assert kinds(check(bucket)) == []
    key = chosen(bucket, which)
    content = bytearray(bucket.keys[key][0].content)
    content[where % len(content)] ^= bits
    bucket.keys[key][0].content = bytes(content)
    assert key in [problem.key for problem in check(bucket).problems]


@given(numbers, numbers, st.binary(max_size=3))
def test_any_cut_or_appended_document_is_found(which: int, where: int, end: bytes) -> None:
    bucket = filled(2)
    key = chosen(bucket, which)
    content = bucket.keys[key][0].content
    changed = content[: where % len(content)] + end if where % 2 else content + end + b"\n"
    bucket.keys[key][0].content = changed
    assert changed == content or key in [problem.key for problem in check(bucket).problems]


@given(numbers, st.sampled_from(["delete", "erase", "put", "replace"]), st.binary(), st.booleans())
def test_any_deletion_and_any_new_version_is_found(which: int, attack: str, content: bytes, quick: bool) -> None:
    bucket = filled(2)
    key = chosen(bucket, which)
    if attack == "delete":
        bucket.delete(key)
    if attack in ("erase", "replace"):
        bucket.erase(key, bucket.keys[key][0].id)
    if attack in ("put", "replace"):
        bucket.put(key, content)
    bucket.now += timedelta(hours=6)
    assert check(bucket, quick=quick).problems


@given(data=st.data())
def test_whatever_is_delivered_in_whatever_order_is_proven(data: st.DataObject) -> None:
    bucket = Bucket()
    for number in range(data.draw(st.integers(1, 12))):
        bucket.now += timedelta(hours=data.draw(st.integers(0, 30)))
        late = timedelta(hours=data.draw(st.integers(0, 24)))
        bucket.put(f"logs/dt={(bucket.now - late).date()}/hour=00/{number}.json.gz", data.draw(st.binary()))
        if data.draw(st.booleans()):
            run(bucket)
    bucket.now += timedelta(days=2)
    run(bucket)
    report = check(bucket)
    assert (kinds(report), report.pending) == ([], 0)
