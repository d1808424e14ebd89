from runtime import differences, file_identity, settings_hash


def test_order_of_keys_does_not_matter():
    assert settings_hash({"a": 1, "b": {"c": 2, "d": 3}}) == settings_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 1.5})


def test_differences_name_the_place():
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1}, "c": 2}) == []
    assert differences({"a": {"b": 1}, "old": 0}, {"a": {"b": 2}, "new": None}) == [
        "a.b: 1 before, 2 now", "old: 0 before, absent now", "new: absent before, null now",
    ]  # fmt: skip


def test_identity_is_of_the_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 5_000_000)
    two.write_bytes(b"x" * 5_000_000)
    assert file_identity(one) == file_identity(two)
    for place in (0, 2_500_000, 4_999_999):
        data = bytearray(b"x" * 5_000_000)
        data[place] = 0
        two.write_bytes(data)
        assert file_identity(one) != file_identity(two)
    two.write_bytes(b"x" * 5_000_001)
    assert file_identity(one) != file_identity(two)
    two.write_bytes(b"")
    assert file_identity(two)["bytes"] == 0
