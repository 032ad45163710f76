"""Digests of shards."""

from appliance.trust.bytes.shards import Shard, ShardDigests, statement
from tests.trust.forge import sha256


def test_the_last_shard_is_shorter_and_none_is_empty() -> None:
    digests = ShardDigests(4)
    digests.update(memoryview(b"abcdef"))
    found = digests.finish()
    assert found == (Shard(0, 4, sha256(b"abcd")), Shard(4, 6, sha256(b"ef")))
    assert statement(found) == f"0:4:{sha256(b'abcd')} 4:6:{sha256(b'ef')}"
    whole = ShardDigests(3)
    whole.update(memoryview(b"abcdef"))
    assert [shard.end for shard in whole.finish()] == [3, 6]


def test_a_file_without_bytes_has_no_shard() -> None:
    assert ShardDigests(4).finish() == ()
