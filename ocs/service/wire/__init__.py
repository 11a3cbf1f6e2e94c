"""Values of the wire into neutral words and back: nothing here decides or waits."""
