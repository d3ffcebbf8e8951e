"""What the pytest plugin does once it is used; `pytest_postback`, which pytest loads at every start, imports it."""
