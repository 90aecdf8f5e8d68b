from rulepush.model.json_text import parse_json


def test_half_a_surrogate_pair_becomes_a_replacement_character_and_a_whole_one_stays() -> None:
    text = r'["\ud800x", "\ud83d\ude00", "\u00e9", "\\ud800", NaN]'
    assert parse_json(text)[:4] == ["\ufffdx", "😀", "é", "\\ud800"]
