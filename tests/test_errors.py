"""The message of an unknown name."""

from fathom.errors import UserError, unknown


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    error = unknown("model", "ResNet5O", ["resnet50", "plain18"], "More in the list.")
    assert isinstance(error, UserError)
    assert str(error) == "unknown model 'ResNet5O'; did you mean 'resnet50'? More in the list."


def test_a_short_list_is_given_when_nothing_is_near() -> None:
    assert str(unknown("schedule", "xyz", ["cosine", "step"])) == (
        "unknown schedule 'xyz'; known are cosine, step."
    )
