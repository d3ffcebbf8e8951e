"""When, where and how often a postback is sent: pure policy. `postback_sender.sender` drives it."""
