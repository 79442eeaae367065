"""Things that stand for what is not there when the tests run; each says what it stands for."""
