"""The partner's own test runner: loads the application first, and treats every warning as an error."""

import sys

import pytest
import receiver

assert receiver.Received
sys.exit(pytest.main(["-W", "error"]))
