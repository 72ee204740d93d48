"""STP-5: is the bucket that the environment names whole, and are its refusals told in words that help?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portal.outbound.message import Phases, Response
from statuspages import bucket

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent


WHOLE = {"endpoint": "", "region": "eu-central-1", "key_id": "K", "secret": "S"}


@pytest.mark.parametrize(
    ("name", "s3", "root", "prefix", "region"),
    [
        ("s3://acme", {}, "https://acme.s3.eu-central-1.amazonaws.com/", "", "eu-central-1"),
        ("s3://acme/a/b/", {}, "https://acme.s3.eu-central-1.amazonaws.com/", "a/b/", "eu-central-1"),
        ("s3://status.acme.example", {}, "https://s3.eu-central-1.amazonaws.com/status.acme.example/", "", "eu-central-1"),
        ("s3://acme/x", {"endpoint": "http://127.0.0.1:9000", "region": ""}, "http://127.0.0.1:9000/acme/", "x/", "us-east-1"),
        ("s3://acme", {"endpoint": "https://s3.us-west-004.backblazeb2.com/", "region": "us-west-004"}, "https://s3.us-west-004.backblazeb2.com/acme/", "", "us-west-004"),
    ],
)  # fmt: skip
def test_amazon_is_asked_at_the_buckets_own_host_and_others_by_path(name, s3, root, prefix, region):
    found, wrong = bucket.understood(name, WHOLE | s3)
    assert wrong == [] and found == bucket.Target(root, prefix, region, "K", "S")
    assert "'S'" not in repr(found)


@pytest.mark.parametrize(
    ("name", "s3", "said"),
    [
        ("acme", {}, "write for example s3://acme-status/pages"),
        ("https://acme.example", {}, "write for example s3://acme-status/pages"),
        ("s3://acme/../x", {}, "write for example s3://acme-status/pages"),
        ("s3://acme", {"key_id": ""}, "PUBLISH_S3_KEY_ID is empty"),
        ("s3://acme", {"secret": ""}, "PUBLISH_S3_SECRET is empty"),
        ("s3://acme", {"region": ""}, "neither PUBLISH_S3_REGION"),
        ("s3://acme", {"region": "eu central"}, "PUBLISH_S3_REGION='eu central' is not a region"),
        ("s3://acme", {"endpoint": "minio:9000"}, "PUBLISH_S3_ENDPOINT='minio:9000' is not the address of a server"),
        ("s3://acme", {"endpoint": "https://minio.example/acme"}, "belongs into PUBLISH_BUCKET"),
        ("", {}, "PUBLISH_S3_REGION, PUBLISH_S3_KEY_ID, PUBLISH_S3_SECRET set but PUBLISH_BUCKET is empty"),
    ],
)
def test_half_a_configuration_is_named_with_its_cure(name, s3, said, settings):
    found, wrong = bucket.understood(name, WHOLE | s3)
    assert found is None and len(wrong) == 1 and said in wrong[0]
    settings.PUBLISH_BUCKET, settings.PUBLISH_S3 = name, WHOLE | s3
    assert [error.msg for error in bucket.copies_can_be_written()] == wrong


def test_the_settings_come_from_the_environment_and_the_secret_from_a_file(tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    said = {
        "BUCKET": "s3://acme",
        "S3_KEY_ID": "K",
        "S3_SECRET_FILE": str(tmp_path / "secret"),
        "S3_REGION": "eu-west-1",
    }
    env = {k: v for k, v in os.environ.items() if k != "PUBLISH_S3_SECRET"} | {
        f"PUBLISH_{k}": v for k, v in said.items()
    }
    code = "import json; from portal import settings; print(json.dumps([settings.PUBLISH_BUCKET, settings.PUBLISH_S3]))"
    read = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, check=True, timeout=120)
    s3 = {"endpoint": "", "region": "eu-west-1", "key_id": "K", "secret": "from a file"}
    assert json.loads(read.stdout) == ["s3://acme", s3]


def test_nothing_is_wrong_where_nothing_is_set(settings):
    assert bucket.understood("", dict.fromkeys(WHOLE, "")) == (None, [])
    settings.PUBLISH_COMMAND = ["rsync"]
    assert [one.id for one in bucket.copies_can_be_written()] == ["statuspages.W101"]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "InvalidAccessKeyId", "correct PUBLISH_S3_KEY_ID"),
        (403, "AccessDenied", "let the key list the bucket"),
        (404, "NoSuchBucket", "no such bucket"),
        (301, "", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (403, "RequestTimeTooSkewed", "clock"),
        (503, "SlowDown", "answered 503"),
        (500, "Secret words of theirs", "answered 500"),
    ],
)
def test_what_a_server_says_is_told_in_our_words(status, code, said):
    body = f"<Error><Code>{code}</Code><Message>internal-host-17</Message></Error>".encode()
    told = str(bucket.refusal("PUT", "x", Response(status, [], body, False, Phases(), "", "1.1", "")))
    assert said in told and "internal" not in told and "theirs" not in told
