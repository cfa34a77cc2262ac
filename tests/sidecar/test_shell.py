"""What the shell does before argparse reads the words."""

from sidecar import shell


def test_a_flag_keeps_the_negative_numbers_that_follow_it():
    words = ["route", "--logits", "-1,2", "--token-logprobs", "-.5", "--score=-1", "--json", "--a", "b", "-h"]
    joined = ["route", "--logits=-1,2", "--token-logprobs=-.5", "--score=-1", "--json", "--a", "b", "-h"]
    assert list(shell.joined(words)) == joined
    assert list(shell.joined(["--json", "--", "-1"])) == ["--json", "--", "-1"]
    assert list(shell.joined(["-1", "--json"])) == ["-1", "--json"]
