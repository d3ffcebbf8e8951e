"""What has been accepted and must not be lost: the queue that a sender delivers from."""
