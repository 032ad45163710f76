"""Near-duplicate texts share a group, others do not."""

from installer.bundle.near_groups import near_groups

NOTICE = " ".join(f"word{n}" for n in range(60))


def test_near_duplicates_share_a_group() -> None:
    twin = NOTICE.replace("word30", "other")
    far = " ".join(f"else{n}" for n in range(60))
    assert near_groups([NOTICE, far, twin]) in ([2, 1, 2], [0, 1, 0])


def test_short_texts_are_one_shingle() -> None:
    assert near_groups(["a b", "a b", "b a"])[:2] in ([0, 0], [1, 1])
    assert len(set(near_groups(["a b", "b a"]))) == 2
