"""What is laid out for reading: a request by its tokens, a token, a rule."""
