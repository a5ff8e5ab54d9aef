"""What was typed and cannot be composed, as a sentence that says what to type instead."""
