"""The real parts in trouble: nothing is lost, nothing is wrong, and only the right messages come again."""
