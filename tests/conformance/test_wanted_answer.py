"""What an endpoint answers for a success or an error is what its notification takes for one."""

import re
from collections.abc import Callable

import pytest

from postback_conformance.receiving.wanted_answer import Wanted, wanted_answer
from postback_sender import Notification
from postback_sender.delivery.policy import DeliveryPolicy, judge_answer


@pytest.mark.parametrize(
    ("written", "success", "error"),
    [
        ("", (200, b""), (503, b"")),
        ('success_response = "OK"', (200, b"OK"), (503, b"")),
        ('success_response = "OK"\nerror_response = "ERR"', (200, b"OK"), (200, b"ERR")),
        ('success_response = { status = [202, 200], body_equals = "1" }', (202, b"1"), (503, b"")),
        ("error_response = { status = 409 }", (200, b""), (409, b"")),
        ('success_response = { body_regex = "OK" }', (200, b"OK"), (503, b"")),
    ],
)
def test_an_answer_is_the_one_that_the_settings_take_for_it(
    read_settings: Callable[[str], Notification], written: str, success: tuple[int, bytes], error: tuple[int, bytes]
) -> None:
    notification = read_settings(written)
    assert wanted_answer(notification, "success") == success
    assert wanted_answer(notification, "error") == error
    policy = DeliveryPolicy(
        retry=notification.retry,
        success_response=notification.success_response,
        error_response=notification.error_response,
    )
    assert judge_answer(policy, *success) is None
    assert judge_answer(policy, *error) is not None


@pytest.mark.parametrize(
    ("written", "wanted", "reason"),
    [
        (
            'success_response = { body_regex = "^O+K$" }',
            "success",
            "the success_response of example.toml has a regular",
        ),
        ('error_response = { body_regex = "[0-9]{3}" }', "error", "the error_response of example.toml has a regular"),
        ('success_response = "O"\nerror_response = "O"', "success", "takes nothing that the other one leaves"),
        ("error_response = { status = 100 }", "error", "takes nothing"),
    ],
)
def test_where_the_settings_do_not_tell_an_answer_they_say_so(
    read_settings: Callable[[str], Notification], written: str, wanted: Wanted, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        wanted_answer(read_settings(written), wanted)
