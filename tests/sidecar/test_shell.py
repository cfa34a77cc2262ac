"""What the shell does before argparse reads the words, and what it lets through to a terminal."""

import pytest

from sidecar import shell

HOSTILE = {
    "an escape sequence": "\x1b[2J\x1b]0;title\x07",
    "a C1 control": "\x9b31m",
    "a bidirectional override": "\u202eright\u2066",
    "a character without width": "re\u200bject\ufeff",
    "another line": "a\nb\r\nc\x0bd\u2028e\u2029f\x85g",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_written_into_a_line_it_stays_one_and_steers_nothing(text, capsys):
    shell.show([f"class {text}", "next"])
    shown = capsys.readouterr().out
    assert shown.endswith("\nnext\n")
    assert shown.count("\n") == 2
    assert all(each.isprintable() for each in shown.replace("\n", ""))


def test_what_people_write_stays_as_it_is():
    assert shell.printable("Größe 模型 naïve, 5 €") == "Größe 模型 naïve, 5 €"
    assert shell.printable("a\tb\u00a0c") == "a b c"
    assert shell.printable("one\ntwo\x1b", lines=True) == "one\ntwo\ufffd"


def test_an_error_cannot_steer_the_terminal_either(capsys):
    top = shell.parser("x", "", [_Failing()])
    assert shell.run(top, ["fail"]) == shell.REFUSED
    assert "\x1b" not in capsys.readouterr().err


class _Failing:
    def add_parser(self, subparsers):
        def fail(_):
            raise shell.TruebandError("no \x1b[31msuch thing")

        subparsers.add_parser("fail").set_defaults(run=fail)


def test_a_flag_keeps_the_negative_numbers_that_follow_it():
    words = ["route", "--logits", "-1,2", "--token-logprobs", "-.5", "--score=-1", "--json", "--a", "b", "-h"]
    joined = ["route", "--logits=-1,2", "--token-logprobs=-.5", "--score=-1", "--json", "--a", "b", "-h"]
    assert list(shell.joined(words)) == joined
    assert list(shell.joined(["--json", "--", "-1"])) == ["--json", "--", "-1"]
    assert list(shell.joined(["-1", "--json"])) == ["-1", "--json"]
