from resnets.classify import Row
from resnets.cli.formats import BAR, Unknown, as_csv, bar, below, jsonl, plain, table
from resnets.predictions import Prediction

ROW = Row(0, "a.jpg")
TWO = [Prediction(1, "n1", "cat", 0.75), Prediction(0, "n0", "dog", 0.25)]


def test_bars_are_as_long_as_their_probability():
    assert bar(1.0) == "█" * BAR
    assert bar(0.0) == " " * BAR
    assert bar(0.5) == "█" * (BAR // 2) + " " * (BAR // 2)
    assert {len(bar(p / 97)) for p in range(98)} == {BAR}


def test_colour_is_for_terminals():
    assert "\x1b" not in table(ROW, TWO)
    assert "\x1b[1ma.jpg\x1b[0m" in table(ROW, TWO, True)
    assert "\x1b[31merror\x1b[0m" in table(Row(0, "a.jpg", {}, "The file is empty."), [], True)


def test_letters_of_all_languages_are_plain_and_controls_are_not():
    assert plain("Äpfel 猫.jpg\x07\u202e") == "Äpfel 猫.jpg\\x07\\u202e"


def test_the_threshold_itself_is_known():
    assert below(TWO, 0.75) == TWO
    assert below(TWO, 0.76) == [Unknown(None, None, "unknown", 0.75, "cat", 0.76)]


def test_people_are_told_what_the_unknown_is_nearest_to_and_programs_get_what_they_got():
    unknown, plain_one = below(TWO, 0.9), [Prediction(None, None, "unknown", 0.75)]
    assert table(ROW, unknown).strip() == "unknown (below 90 %; nearest: cat 75.0 %)  a.jpg"
    assert jsonl(ROW, unknown) == jsonl(ROW, plain_one)
    assert as_csv(ROW, unknown) == as_csv(ROW, plain_one) == "a.jpg,,1,,,unknown,0.75\n"
