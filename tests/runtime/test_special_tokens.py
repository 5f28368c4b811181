from longctx.runtime.special_tokens import read_special_tokens


def added(content, index, **flags):
    return {"content": content, "id": index, "special": True, **flags}


def test_text_is_split_at_the_longest_token():
    specials = read_special_tokens({"added_tokens": [added("<a>", 1), added("<a>b", 2)]})
    assert specials.split("x<a>b<a>y") == ["x", 2, 1, "y"]
    assert specials.split("") == []


def test_without_added_tokens_all_is_text():
    assert read_special_tokens({}).split("<a> b") == ["<a> b"]


def test_a_token_may_swallow_the_space_beside_it():
    specials = read_special_tokens(
        {"added_tokens": [added("<l>", 1, lstrip=True), added("<r>", 2, rstrip=True)]}
    )
    assert specials.split("a \n<l> b <r> \n c") == ["a", 1, " b ", 2, "c"]


def test_a_single_word_stands_alone():
    specials = read_special_tokens({"added_tokens": [added("word", 1, single_word=True)]})
    assert specials.split("sword word") == ["sword ", 1]


def test_plain_space_is_no_special_token():
    assert not read_special_tokens({"added_tokens": [added("  ", 1)]}).ids


def test_what_begins_a_text_is_read_from_the_post_processor():
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
        ],
        "special_tokens": {
            "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
        },
    }
    both = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]}
    assert read_special_tokens({"post_processor": template}).opening_ids == (1,)
    assert read_special_tokens({"post_processor": both}).opening_ids == (1,)
    assert read_special_tokens({"post_processor": {"type": "ByteLevel"}}).opening_ids == ()
    assert read_special_tokens({"post_processor": None}).opening_ids == ()
